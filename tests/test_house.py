"""Holds the house itself: sizes, names, docstrings, floors. What the documents say is held by the second half.

A rule that no tool holds is a wish; what ruff, mypy and import-linter cannot hold is held here.
"""

import argparse
import ast
import configparser
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer.main

from gateway import errors
from gateway.__main__ import cli
from gateway.app import Gateway
from gateway.config import settings
from gateway.config.compile import Source, compile_config
from gateway.routing.outcomes import OUTCOMES
from gateway.service.attempts import SUBMIT
from gateway.telemetry import names
from providers.errors import ErrorKind
from providers.local import __main__ as worker

ROOT = Path(__file__).resolve().parents[1]
PRODUCT = ("gateway", "providers")
CODE = (*PRODUCT, "tests", "benchmarks", "training")

MAX_MODULE = 400
MAX_FUNCTION = 40
MAX_PARAMETERS = 5
COMMANDS = "gateway/__main__.py"
"""Its functions may take more parameters: typer reads a command's options from them."""

BANNED = frozenset(("handler", "manager", "helper", "util", "processor", "deployment", "kwarg"))
UNFINISHED = re.compile(r"T[O]DO|F[I]XME|NotImplemented[E]rror")
SOMEBODYS_MACHINE = re.compile(r"/wor[k]/|/home/\w|/Users/\w|/root/\w|[A-Z]:\\Users")
TEXTS = frozenset((".py", ".md", ".yaml", ".yml", ".toml", ".txt", ".lua", ".json", ".sh", ".cfg", ""))

Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules(trees: tuple[str, ...]) -> Iterator[tuple[str, ast.Module]]:
    """Path below the root, and syntax tree, of every module."""
    for tree in trees:
        for path in sorted((ROOT / tree).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def functions(tree: ast.Module) -> Iterator[Function]:
    """Every function and method, at whatever depth."""
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def fact_takers(tree: ast.Module) -> set[Function]:
    """Constructors of exceptions whose parameters, but for the first two, are facts given by name."""
    raised = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        and any(ast.unparse(base).endswith("Exception") for base in node.bases)
    ]
    return {
        one for node in raised for one in node.body if isinstance(one, Function) and len(one.args.args) <= 3
    }


def parameters(function: Function) -> list[str]:
    """Names of the parameters beyond `self`."""
    given = function.args
    found = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    return [one.arg for one in found if one is not None and one.arg not in ("self", "cls")]


def texts() -> Iterator[Path]:
    """Every text of the repository."""
    folders = (*CODE, "config", "docs", "requirements", ".ci")
    for path in (*ROOT.iterdir(), *(one for folder in folders for one in (ROOT / folder).rglob("*"))):
        if (
            path.is_file()
            and path.suffix in TEXTS
            and not {"__pycache__", ".git", "node_modules"} & set(path.parts)
        ):
            yield path


# -- the code


def test_no_module_is_longer_than_400_lines() -> None:
    lengths = {path: len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path, _ in modules(CODE)}
    assert not {path: lines for path, lines in lengths.items() if lines > MAX_MODULE}


def test_no_function_is_longer_than_40_lines() -> None:
    found = [
        f"{path} {one.name}: {length} lines"
        for path, tree in modules(PRODUCT)
        for one in functions(tree)
        if (length := (one.end_lineno or one.lineno) - one.lineno + 1) > MAX_FUNCTION
    ]
    assert not found


def test_no_function_takes_more_than_five_parameters() -> None:
    """Whoever needs more takes a struct; an exception is one, whose constructor takes its facts by name."""
    found = [
        f"{path} {one.name}: {len(parameters(one))} parameters"
        for path, tree in modules(PRODUCT)
        if path != COMMANDS
        for one in set(functions(tree)) - fact_takers(tree)
        if len(parameters(one)) > MAX_PARAMETERS
    ]
    assert not found


def test_everything_public_says_what_it_is_for() -> None:
    def missing(node: ast.AST, name: str) -> Iterator[str]:
        for inner in ast.iter_child_nodes(node):
            if isinstance(inner, ast.ClassDef | Function) and not inner.name.startswith("_"):
                if ast.get_docstring(inner) is None:
                    yield f"{name}.{inner.name}"
                if isinstance(inner, ast.ClassDef):
                    yield from missing(inner, f"{name}.{inner.name}")

    found = [name for path, tree in modules(PRODUCT) for name in missing(tree, path)]
    found += [path for path, tree in modules((*PRODUCT, "benchmarks")) if ast.get_docstring(tree) is None]
    assert not found


def defined(tree: ast.Module) -> Iterator[str]:
    """Every name that a module gives to something."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.arg():
                yield node.arg
            case ast.alias(asname=str(name)):
                yield name
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name


def test_names_say_what_a_thing_is() -> None:
    found = set()
    for path, tree in modules(CODE):
        for name in (*defined(tree), *Path(path).with_suffix("").parts):
            words = re.findall(r"[a-z]+|[A-Z][a-z]*", name)
            told = path.startswith("tests/") and name.startswith("test_")  # a sentence, not a thing
            if not told and any(word.lower().removesuffix("s") in BANNED for word in words):
                found.add(f"{path}: {name}")
    assert not found


def test_nothing_prints_and_nothing_is_left_for_later() -> None:
    prints = [
        f"{path}:{node.lineno}"
        for path, tree in modules((*PRODUCT, "benchmarks"))
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not prints
    unfinished = [
        path for path in texts() if UNFINISHED.search(path.read_text(encoding="utf-8", errors="replace"))
    ]
    assert not unfinished


def test_no_text_leads_to_somebodys_machine() -> None:
    found = [
        path
        for path in texts()
        if SOMEBODYS_MACHINE.search(path.read_text(encoding="utf-8", errors="replace"))
    ]
    assert not found


def test_the_floors_and_the_owners_hold() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [program, "--no-logo"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_kind_of_error_has_its_row_in_each_table() -> None:
    kinds = set(ErrorKind)
    assert set(OUTCOMES) == kinds
    assert set(errors._UPSTREAM) == kinds
    assert set(SUBMIT) == kinds


def test_the_shipped_example_compiles() -> None:
    file = ROOT / "config/fairlead.yaml"
    environment = {"FAIRLEAD_DEMO_KEY": "sk-fl-demo"}
    snapshot = compile_config(
        Source(file.read_text(encoding="utf-8"), file.name, environment, 1_795_000_000.0)
    )
    assert {"demo-chat", "demo-embedding", "sora-2"} <= set(snapshot.routes)


# -- the documents

DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "benchmarks").glob("*.md")),
]
FENCE = re.compile(r"^```\w*\n(.*?)^```", re.DOTALL | re.MULTILINE)
SPAN = re.compile(r"`([^`\n]+)`")
PATH = re.compile(
    r"\.?[\w-]+(?:/[\w.*-]+)+/?|[\w-]+\.(?:py|md|toml|yaml|json|lua)|Makefile|Dockerfile|\.importlinter"
)
UNDESCRIBED = {f"GET {path}" for path in ("/livez", "/readyz", "/metrics", "/openapi.json")}
COMMAND = re.compile(r"\bfairlead (?!is\b)([a-z]+)(?: ([a-z][a-z-]*))?([^|\n`]*)")


def wordings() -> str:
    """All documents in one text."""
    return "\n".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)


def spans(text: str) -> list[str]:
    """What stands in backticks, outside of blocks of code."""
    return SPAN.findall(FENCE.sub("", text))


def code(text: str) -> str:
    """Everything a reader may copy: blocks and spans, one per line."""
    return "\n".join([*FENCE.findall(text), *spans(text)]).replace("\\\n", " ")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documents_name_only_files_that_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    tops = {path.name for path in ROOT.iterdir()}
    missing = []
    for span in spans(text):
        path, _, test = span.partition("::")
        if PATH.fullmatch(path) and (path.split("/")[0] in tops or path.endswith((".py", ".md"))):
            found = sorted(ROOT.glob(path.rstrip("/")))
            if not found or (test and f"def {test}(" not in found[0].read_text(encoding="utf-8")):
                missing.append(span)
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)", text)
    missing += [link for link in links if not (document.parent / link).exists()]
    assert not missing


def options(command: Any) -> set[str]:
    """The options of one command, by their long names."""
    return {one for option in command.params for one in (*option.opts, *option.secondary_opts)} | {"--help"}


def commands() -> Mapping[str, set[str]]:
    """Every command of `fairlead` and its options."""
    found: dict[str, set[str]] = {}
    for name, command in typer.main.get_command(cli).commands.items():  # type: ignore[attr-defined]  # it is a group
        found[name] = options(command)
        for inner, below in getattr(command, "commands", {}).items():
            found[f"{name} {inner}"] = options(below)
    parsers = {"worker": worker.parser()}
    for action in parsers["worker"]._actions:
        if isinstance(action, argparse._SubParsersAction):
            parsers |= {f"worker {name}": parser for name, parser in action.choices.items()}
    for name, parser in parsers.items():
        found[name] = {option for action in parser._actions for option in action.option_strings}
    return found


def test_documents_name_only_commands_that_exist_and_every_command_is_named() -> None:
    known, named, wrong = commands(), set(), []
    for first, second, rest in COMMAND.findall(code(wordings())):
        command = f"{first} {second}" if f"{first} {second}" in known else first
        named.add(command)
        given = set(re.findall(r"--[a-z][a-z-]*", rest.split(" -- ")[0]))
        if command not in known or not given <= known[command]:
            wrong.append(f"{first} {second}{rest}")
    assert not wrong
    assert named >= set(known)


def test_documents_name_only_make_targets_and_modules_that_exist() -> None:
    text = code(wordings())
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z]+)\b", text))
    assert named <= targets
    assert targets <= named
    assert all(find_spec(module) for module in set(re.findall(r"python -m ([a-z_.]+[a-z])", text)) - {"venv"})


def test_settings_are_those_that_the_code_reads() -> None:
    sources = [path for tree in PRODUCT for path in (ROOT / tree).rglob("*.py")] + [
        ROOT / "config/fairlead.yaml"
    ]
    source = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    ours = r"FAIRLEAD_[A-Z_]+[A-Z]"
    assert set(re.findall(ours, wordings())) == set(re.findall(ours, source))
    assert set(re.findall(r"\bOTEL_[A-Z_]+[A-Z]", source)) <= set(
        re.findall(r"\bOTEL_[A-Z_]+[A-Z]", wordings())
    )


def test_headers_are_those_that_the_code_sends_and_reads() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "gateway").rglob("*.py"))
    headers = r"x-fairlead-[a-z-]+[a-z]"
    assert set(re.findall(headers, wordings())) == set(re.findall(headers, source))


def quoted(module: str) -> set[str]:
    """The names in quotes that a telemetry module holds."""
    text = (ROOT / "gateway/telemetry" / f"{module}.py").read_text(encoding="utf-8")
    return set(re.findall(r'"([a-z][a-z0-9_.]*)"', text))


def test_every_metric_attribute_and_log_field_is_documented() -> None:
    told = (ROOT / "docs/telemetry.md").read_text(encoding="utf-8")
    metrics = {value for name, value in vars(names).items() if name.isupper() and isinstance(value, str)}
    attributes = {name for name in quoted("spans") if "." in name}
    labels = {name for name in quoted("metrics") if re.match("gateway_|gen_ai_|http_|error_", name)}
    fields = quoted("log") - {"call"}
    wanted = (metrics - {names.SCHEMA_URL}) | attributes | labels | fields
    assert not {name for name in wanted if f"`{name}`" not in told}


def test_the_reference_of_the_routing_file_says_what_the_schema_says() -> None:
    schema = json.loads((ROOT / "config/schema.json").read_text(encoding="utf-8"))
    parts = schema["$defs"]

    def says(field: Mapping[str, str]) -> str:
        """Its description; one that only repeats the class it refers to is left out of the schema."""
        return field.get("description") or str(parts[field["$ref"].split("/")[-1]]["description"])

    wanted = {
        (name, says(field).replace("|", "\\|"))
        for part in (schema, *parts.values())
        for name, field in part.get("properties", {}).items()
    }
    page = (ROOT / "docs/routing-file.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \| (.*) \|$", page, re.MULTILINE)) == wanted


def test_the_drawing_of_the_floors_is_the_one_that_is_held() -> None:
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    floors = re.findall(r"\w+", contracts["importlinter:contract:floors"]["layers"])
    drawing = re.findall(
        r"gateway/(\w+)", FENCE.findall((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8"))[0]
    )
    assert drawing == floors


def test_decisions_are_dated_and_short() -> None:
    for path in sorted((ROOT / "docs/decisions").glob("*.md")):
        assert re.fullmatch(r"\d{4}-\d\d-\d\d-[a-z0-9-]+\.md", path.name)
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 30, path.name


@pytest.mark.parametrize("name", ["README.md", "docs/routing-file.md"])
def test_the_routing_file_that_a_document_shows_compiles(name: str) -> None:
    blocks = re.findall(
        r"^```yaml\n(.*?)^```", (ROOT / name).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    text = "".join(blocks)  # a section a block
    variables = {*re.findall(r"env:(\w+)", text), "ANTHROPIC_API_KEY", "GROQ_API_KEY"} - {"NAME"}
    compile_config(
        Source(text, name, {variable: f"text of {variable}" for variable in variables}, 1_795_000_000.0)
    )


async def test_documents_name_the_calls_that_are_served(tmp_path: Path) -> None:
    environment = {"FAIRLEAD_DATA_DIR": str(tmp_path), "FAIRLEAD_DEMO_KEY": "sk-fl-demo"}
    gateway = Gateway(settings.read(environment, ROOT / "config/fairlead.yaml"), environment)
    asked: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": "/openapi.json",
        "headers": [(b"host", b"house")],
    }
    asked |= {"query_string": b"", "scheme": "http", "server": ("house", 80), "app": None}
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await gateway.asgi(asked, receive, send)
    described = json.loads(b"".join(message.get("body", b"") for message in sent))["paths"]
    served = {f"{method.upper()} {path}" for path, methods in described.items() for method in methods}
    served = {call for call in served if not call.startswith("HEAD ")} | UNDESCRIBED
    assert set(re.findall(r"`((?:GET|POST|PUT|PATCH|DELETE) /[^\s`]*)`", wordings())) == served
