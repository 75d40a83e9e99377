"""`fairlead`: one command, a few verbs. Each verb's module is imported only when it is called."""

import gc
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from gateway.config.problems import ConfigError
from gateway.errors import GatewayError

cli = typer.Typer(
    name="fairlead",
    help="An OpenAI-compatible gateway for chat and video.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
keys = typer.Typer(help="Make, list, rotate and revoke gateway keys.", no_args_is_help=True)
cli.add_typer(keys, name="keys")
limits = typer.Typer(help="See what the limiter holds, and close what nobody will.", no_args_is_help=True)
cli.add_typer(limits, name="limits")
webhooks = typer.Typer(help="See what became of webhooks, send them again.", no_args_is_help=True)
cli.add_typer(webhooks, name="webhooks")
media = typer.Typer(help="Look at video files.", no_args_is_help=True)
cli.add_typer(media, name="media")
videos = typer.Typer(help="Make, list, show and watch videos of a running gateway.", no_args_is_help=True)
cli.add_typer(videos, name="videos")

Config = Annotated[
    Path | None,
    typer.Option(help="The routing file. Default: FAIRLEAD_CONFIG, else config/fairlead.yaml."),
]

Url = Annotated[str, typer.Option(help="Where the gateway is.")]
KeyFile = Annotated[
    Path | None, typer.Option(help="A file that holds the gateway key. Default: the variable FAIRLEAD_KEY.")
]
Output = Annotated[Path | None, typer.Option(help="The file to put the finished video into.")]
VideoId = Annotated[str, typer.Argument(help="The video's id.")]
LOCAL = "http://127.0.0.1:4000"


@cli.command()
def serve(
    config: Config = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = 4000,
    workers: Annotated[int, typer.Option(help="Server processes; more than one needs Redis.", min=1)] = 1,
    grace: Annotated[float, typer.Option(help="Seconds running requests get to finish when stopped.")] = 30.0,
    drain: Annotated[float, typer.Option(help="Seconds between turning unready and closing the door.")] = 1.0,
    demo: Annotated[
        bool, typer.Option("--demo", help="Zero-key demo: a ready key and a local video worker.")
    ] = False,
    inherited: Annotated[int | None, typer.Option("--fd", hidden=True)] = None,
) -> None:
    """Serve the gateway."""
    gc.disable()  # until the server collects once, when all is loaded: what is loaded stays
    from gateway.commands.serve import Options, run  # noqa: PLC0415 - a server's imports are not for `--help`

    run(
        Options(
            config=config, host=host, port=port, workers=workers, grace=grace, drain=drain, demo=demo,
            inherited=inherited,
        )
    )  # fmt: skip


@cli.command()
def check(
    file: Annotated[Path, typer.Argument(help="A routing file.")] = Path("config/fairlead.yaml"),
    secrets: Annotated[
        bool,
        typer.Option(
            "--secrets/--no-secrets",
            help="Whether env: and file: references must lead to something. Without, any will do: for CI.",
        ),
    ] = True,
) -> None:
    """Check a routing file: every error with file, line and field; exit 1 when there is one."""
    from gateway.commands.check import run  # noqa: PLC0415

    raise typer.Exit(run(file, secrets=secrets))


@cli.command()
def explain(
    model: Annotated[str, typer.Option(help="The model, as a client would name it.")],
    body: Annotated[
        Path | None, typer.Option(help="A JSON file with the request's body. Default: the smallest one.")
    ] = None,
    config: Config = None,
    url: Annotated[
        str | None,
        typer.Option(help="A running gateway to ask, as in http://127.0.0.1:4000; else the file is."),
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="The gateway key to ask with.", envvar="FAIRLEAD_KEY")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole explanation as JSON.")] = False,
) -> None:
    """Say where a request would go and why; exit 1 when nobody would answer. No provider is called."""
    from gateway.commands.explain import Options, run  # noqa: PLC0415

    raise typer.Exit(run(Options(model=model, body=body, config=config, url=url, key=key, as_json=as_json)))


@cli.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
)
def worker(context: typer.Context) -> None:
    """Run the local video worker; `fairlead worker --help` lists its options."""
    from gateway.commands.worker import run  # noqa: PLC0415

    raise typer.Exit(run(context.args))


@cli.command()
def runner(config: Config = None) -> None:
    """Move videos and batches on without serving anybody, beside gateways with the same database and Redis."""
    from gateway.commands.runner import run  # noqa: PLC0415

    run(config)


@keys.command("create")
def keys_create(
    name: Annotated[str, typer.Argument(help="A name to tell it by.")],
    models: Annotated[
        list[str] | None, typer.Option("--model", help="A model it may use; repeat. Default: all.")
    ] = None,
    limits: Annotated[str | None, typer.Option(help="A list of limits from the routing file.")] = None,
    aliases: Annotated[
        list[str] | None,
        typer.Option("--alias", help="A name of its own for a model, as NAME=MODEL; repeat."),
    ] = None,
    tags: Annotated[
        list[str] | None, typer.Option("--tag", help="A tag of the targets it is held to; repeat.")
    ] = None,
    region: Annotated[str | None, typer.Option(help="The region of the targets it is held to.")] = None,
    organisation: Annotated[str | None, typer.Option(help="Who it belongs to.")] = None,
    project: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    user: Annotated[str | None, typer.Option(help="Who uses it.")] = None,
    webhook: Annotated[str | None, typer.Option(help="The URL that is told of its finished videos.")] = None,
    config: Config = None,
) -> None:
    """Make a key and print it, once."""
    from gateway.commands.keys import create  # noqa: PLC0415

    owners = {"organisation": organisation, "project": project, "user": user}
    held = {"aliases": aliases, "tags": tags, "region": region}
    create(config, name, {"models": models, "limits": limits, "webhook": webhook, **held, **owners})


@keys.command("list")
def keys_list(config: Config = None) -> None:
    """List keys: never what they are, only whose."""
    from gateway.commands.keys import show  # noqa: PLC0415

    show(config)


@keys.command("rotate")
def keys_rotate(key: Annotated[str, typer.Argument(help="The key's id.")], config: Config = None) -> None:
    """Give a key a new text and print it, once; the old one ends at once."""
    from gateway.commands.keys import rotate  # noqa: PLC0415

    rotate(config, key)


@keys.command("revoke")
def keys_revoke(key: Annotated[str, typer.Argument(help="The key's id.")], config: Config = None) -> None:
    """End a key for good."""
    from gateway.commands.keys import revoke  # noqa: PLC0415

    revoke(config, key)


@limits.command("unsettled")
def limits_unsettled(
    older: Annotated[
        float,
        typer.Option(help="Seconds for which nobody renewed it: less also shows running requests.", min=0),
    ] = 60.0,
    close: Annotated[
        Literal["charge", "release"] | None,
        typer.Option(
            help="Settle each: what is in the ledger with what that says, the rest with all it held or nothing."
        ),
    ] = None,
    config: Config = None,
) -> None:
    """List reservations that nobody settled, as a process that died leaves them, and video jobs that run."""
    from gateway.commands.limits import show_unsettled  # noqa: PLC0415

    show_unsettled(config, older, close)


@webhooks.command("list")
def webhooks_list(
    state: Annotated[
        Literal["waiting", "delivered", "dead"] | None, typer.Option(help="Only those in this state.")
    ] = None,
    limit: Annotated[int, typer.Option(help="How many, newest first.", min=1)] = 50,
    config: Config = None,
) -> None:
    """List webhooks: what became of each, and why."""
    from gateway.commands.webhooks import show  # noqa: PLC0415

    show(config, state, limit)


@webhooks.command("replay")
def webhooks_replay(
    webhook: Annotated[str, typer.Argument(help="The webhook's id.")], config: Config = None
) -> None:
    """Send one again, delivered or not, under its own id."""
    from gateway.commands.webhooks import replay  # noqa: PLC0415

    replay(config, webhook)


@webhooks.command("secret")
def webhooks_secret(
    key: Annotated[str, typer.Argument(help="A key's id, or its name in the routing file.")],
    rotate: Annotated[
        bool, typer.Option("--rotate", help="Make a new one; the last one before it signs along.")
    ] = False,
    config: Config = None,
) -> None:
    """Print what a key's webhooks are signed with."""
    from gateway.commands.webhooks import secret  # noqa: PLC0415

    secret(config, key, rotate=rotate)


@media.command("verify")
def media_verify(
    file: Annotated[Path, typer.Argument(help="A video file.", exists=True, dir_okay=False)],
    trust: Annotated[
        Path | None,
        typer.Option(help="A PEM file with the root certificates to trust.", exists=True, dir_okay=False),
    ] = None,
) -> None:
    """Say what a video's content credentials sign, who signed, and whether it is intact; exit 1 when it is not."""
    from gateway.commands.media import verify  # noqa: PLC0415

    raise typer.Exit(verify(file, trust))


@videos.command("create")
def videos_create(
    prompt: Annotated[str, typer.Argument(help="What the video shows.")],
    model: Annotated[str, typer.Option(help="The video model.")] = "sora-2",
    seconds: Annotated[str | None, typer.Option(help="Its length.")] = None,
    size: Annotated[str | None, typer.Option(help="Its size in pixels, as in 1280x720.")] = None,
    image: Annotated[Path | None, typer.Option(help="A picture it begins with.")] = None,
    output: Output = None,
    url: Url = LOCAL,
    key_file: KeyFile = None,
) -> None:
    """Order a video and print its id; with --output wait for it and fetch it."""
    from gateway.commands import videos as story  # noqa: PLC0415

    fields = {"prompt": prompt, "model": model, "seconds": seconds, "size": size}
    with story.Door(url, key_file) as door:
        raise typer.Exit(story.create(door, fields, image, output))


@videos.command("list")
def videos_list(
    limit: Annotated[int, typer.Option(help="How many at most.", min=1, max=100)] = 20,
    url: Url = LOCAL,
    key_file: KeyFile = None,
) -> None:
    """List the key's videos, newest first."""
    from gateway.commands import videos as story  # noqa: PLC0415

    with story.Door(url, key_file) as door:
        raise typer.Exit(story.listing(door, limit))


@videos.command("get")
def videos_get(video: VideoId, output: Output = None, url: Url = LOCAL, key_file: KeyFile = None) -> None:
    """Print all that is known of a video, as JSON; with --output fetch it."""
    from gateway.commands import videos as story  # noqa: PLC0415

    with story.Door(url, key_file) as door:
        raise typer.Exit(story.show(door, video, output))


@videos.command("watch")
def videos_watch(video: VideoId, output: Output = None, url: Url = LOCAL, key_file: KeyFile = None) -> None:
    """Follow a video to its end; with --output fetch it then. Exit 1 when it fails."""
    from gateway.commands import videos as story  # noqa: PLC0415

    with story.Door(url, key_file) as door:
        raise typer.Exit(story.watch(door, video, output))


def main() -> None:
    """The console script."""
    try:
        cli()
    except (ConfigError, GatewayError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
