"""The local video worker: a program of its own that renders videos and speaks the OpenAI Videos API.

    client or gateway ──HTTP──► parent: app, queue, runner          (never imports numpy, Pillow, PyAV, torch)
                                   │ jobs as JSON lines ▲ reports
                                   ▼                    │
                                child: one engine, one job at a time, killed and started again at will

The gateway talks to it over HTTP like to any other provider and never imports it.
"""
