"""A glance at bytes of a client: whether they are one whole request and nothing else.

uvicorn's parser tells Python of every header. Whoever refuses a request wants none of that: the same parser without
anybody who listens takes a tenth of the time, and finds the end of a request by the same rules.
"""

import httptools


class Glance:
    """Looks at one piece of bytes after the other, whichever connection it came by; keeps nothing of them."""

    def __init__(self) -> None:
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._begun = self._ended = 0
        self._stays = True

    def is_whole(self, data: bytes) -> bool:
        """Whether this is one request of HTTP/1.1, of a length that it says, on a connection that stays."""
        self._begun = self._ended = 0
        self._stays = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._begin_anew()
            return False
        whole = self._begun == self._ended == 1 and self._stays
        if not whole:
            self._begin_anew()
        return whole

    def on_message_begin(self) -> None:
        """The parser: a request begins."""
        self._begun += 1

    def on_chunk_header(self) -> None:
        """The parser: its length is not said beforehand."""
        self._stays = False

    def on_message_complete(self) -> None:
        """The parser: it ends. What it said of the connection is known now and no later."""
        self._ended += 1
        self._stays &= self._parser.should_keep_alive() and self._parser.get_http_version() == "1.1"
