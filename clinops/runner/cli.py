"""The `clinops` command. Exit codes: 0 done, 1 a run or a check failed, 2 the request was wrong."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clinops._version import __version__
from clinops.errors import ClinopsError, ParameterError

DONE, FAILED, REFUSED = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = _parser()
    try:
        options = parser.parse_args(arguments)
    except SystemExit as ended:  # argparse: 0 after --help, 2 after a wrong option, its message printed
        return int(ended.code or 0)
    return _guarded(options)


def _guarded(options: argparse.Namespace) -> int:
    from clinops.runner.clash import refuse_clash
    from clinops.runner.progress import say
    from clinops.runner.run import RunFailed

    try:
        refuse_clash()
        code: int = options.command(options)
        sys.stdout.flush()
        return code
    except RunFailed as problem:
        say(f"clinops: {problem}")
        return FAILED
    except ClinopsError as problem:
        say(f"clinops: {problem}")
        return REFUSED
    except KeyboardInterrupt:
        say("clinops: interrupted")
        return FAILED
    except BrokenPipeError:  # who reads, such as `head`, has seen enough; what is left goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE


# --- the commands --------------------------------------------------------------------------------


def _run(options: argparse.Namespace) -> int:
    from clinops.runner.progress import progress, say
    from clinops.runner.run import Request, perform, prepare

    plan = prepare(
        Request(
            options.notebook,
            _given(options),
            options.out,
            options.run_id,
            options.title,
            options.jobs,
            options.replace,
            options.timeout,
            tuple(options.document),
        )
    )
    say(f"{plan.notebook.name}: running")
    with progress(plan.notebook.name) as on_cell:
        folder = perform(plan, on_cell)
    print(folder / "report.html")
    return DONE


def _given(options: argparse.Namespace) -> dict[str, Any]:
    """Values from parameter files in order, then those of the command line, which win."""
    from clinops.runner.kinds import Text
    from clinops.runner.yamlfile import read_mapping

    given: dict[str, Any] = {}
    for path in options.file:
        given.update(read_mapping(Path(path)))
    named = [name for name, _ in options.parameter]
    twice = sorted({name for name in named if named.count(name) > 1})
    if twice:
        raise ParameterError(f"Parameter {twice[0]!r} is given twice with -p. For a list, write: -p {twice[0]} a,b")
    given.update({name: Text(value, cli=True) for name, value in options.parameter})
    return given


def _report(options: argparse.Namespace) -> int:
    from clinops.runner.report import report

    return DONE if report(Path(options.list) if options.list else None, options.out, options.jobs) else FAILED


def _list(options: argparse.Namespace) -> int:
    from clinops.errors import RunError
    from clinops.runner.catalogue import as_text, catalogue

    entries = catalogue(Path.cwd())
    if not entries:
        raise RunError(f"There is no notebooks/ folder with notebooks in {Path.cwd()} or above it.")
    print(json.dumps(entries, indent=2) if options.json else as_text(entries))
    return DONE


def _check(options: argparse.Namespace) -> int:
    from clinops.analyse.quality import quality
    from clinops.sources import connect

    result = quality(connect(options.source))
    print(result)
    passed = result.frame.get("passed", ())  # missing: a check that could not be made
    return FAILED if any(one == False for one in passed) else DONE  # noqa: E712


def _simulate(options: argparse.Namespace) -> int:
    from clinops.runner.progress import progress, say
    from clinops.worlds import write

    names = ("persons", "effect", "seed", "waves", "holdout_clinics", "ramp")
    asked = {name: getattr(options, name) for name in names}
    given = {name: value for name, value in asked.items() if value is not None}
    with progress("simulate", "person") as on_person:
        truth = write(options.out, replace=options.replace, progress=on_person, **given)
    rows = truth["rows"]
    say(f"{rows['person']:,} persons, {sum(rows.values()):,} rows in {len(rows)} tables; the truth is in truth.json")
    print(Path(options.out) / "omop")
    return DONE


def _lock(options: argparse.Namespace) -> int:
    from clinops.define.protocol import protocol

    print(protocol.read(options.protocol).lock(options.register, reason=options.reason))
    return DONE


# --- their options -------------------------------------------------------------------------------


def _positive(kind: type) -> Any:
    def positive(text: str) -> Any:
        value = kind(text)
        if not 0 < value < float("inf"):
            raise ValueError
        return value

    positive.__name__ = "number above zero" if kind is float else "whole number above zero"
    return positive


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="clinops",
        description="Evaluations of digital care programmes, from raw records to a report.",
        epilog="exit codes: 0 done, 1 a run or a check failed, 2 the request was wrong and nothing was written\n"
        "example:    clinops run evaluation -p follow_up_days 30",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"clinops-kit {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_run(commands)
    _add_report(commands)
    one = _command(commands, "list", _list, "show the notebooks and their parameters", "clinops list --json")
    one.add_argument("--json", action="store_true", help="as JSON")
    one = _command(commands, "check", _check, "check the quality of a source of records", "clinops check data/gibleed")
    one.add_argument("source", metavar="SOURCE", help="folder, DuckDB file or postgresql:// address")
    _add_simulate(commands)
    _add_lock(commands)
    return parser


def _command(commands: Any, name: str, function: Any, text: str, example: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=function)
    return parser


def _add_run(commands: Any) -> None:
    example = (
        "clinops run evaluation -p source data/gibleed -p follow_up_days 30 --out reports\n"
        "  clinops run my/notebook.ipynb -f params.yaml --run-id march --replace"
    )
    parser = _command(commands, "run", _run, "run a notebook and write its report", example)
    parser.add_argument("notebook", metavar="NOTEBOOK", help="a name in notebooks/, or a path")
    parser.add_argument(
        "-p", "--parameter", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"),
        help="set a parameter, read by its declared type (repeatable)",
    )  # fmt: skip
    parser.add_argument(
        "-f", "--file", action="append", default=[], metavar="PARAMS.yaml",
        help="YAML or JSON file of parameters; -p wins over it",
    )  # fmt: skip
    parser.add_argument("--out", metavar="DIR", help="where reports go (default: reports/ of the project)")
    parser.add_argument("--run-id", metavar="ID", help="name of the report's folder (default: NOTEBOOK-HASH)")
    parser.add_argument("--title", help="title in the list of reports (default: the notebook's heading)")
    parser.add_argument("--replace", action="store_true", help="replace a report of the same id")
    parser.add_argument(
        "--document", action="append", default=[], metavar="FORMAT",
        help="write the report as docx or pdf besides (repeatable)",
    )  # fmt: skip
    parser.add_argument(
        "--jobs", type=_positive(int), default=0, metavar="N", help="cores the notebook may use (default: all)"
    )
    parser.add_argument(
        "--timeout", type=_positive(float), metavar="SECONDS", help="limit for the whole run (default: none)"
    )


def _add_report(commands: Any) -> None:
    text = "run the notebooks listed in notebooks/report.yaml and write an index of the reports"
    parser = _command(commands, "report", _report, text, "clinops report --jobs 2")
    parser.add_argument("--list", metavar="FILE", help="the list of runs (default: notebooks/report.yaml)")
    parser.add_argument("--out", metavar="DIR", help="where reports go (default: reports/ of the project)")
    parser.add_argument(
        "--jobs", type=_positive(int), default=0, metavar="N", help="runs at the same time (default: one per core)"
    )


def _add_simulate(commands: Any) -> None:
    text = "write simulated records of a digital programme, with a known effect"
    example = "clinops simulate data/world --persons 20000 --effect 0.15 --seed 7"
    parser = _command(commands, "simulate", _simulate, text, example)
    parser.add_argument("out", metavar="OUT", help="folder to write")
    parser.add_argument("--persons", type=_positive(int), metavar="N", help="how many (default: 20000)")
    parser.add_argument(
        "--effect", type=float, metavar="E", help="planted fall in cost as a share: 0.15 is 15 %% less, 0 none"
    )
    parser.add_argument("--replace", action="store_true", help="replace an older world in OUT")
    parser.add_argument("--seed", type=int, metavar="S", help="the same seed gives the same records")
    parser.add_argument(
        "--waves", type=_positive(int), metavar="N", help="clinics begin in so many waves (default: no roll-out)"
    )
    parser.add_argument("--holdout-clinics", type=int, metavar="N", help="of 24 clinics, so many never begin")
    parser.add_argument("--ramp", type=int, metavar="DAYS", help="days over which a person's effect grows to its size")


def _add_lock(commands: Any) -> None:
    text = "fix a protocol in a register before outcomes are read"
    example = (
        "clinops lock data/protocols/remote_care_programme.json remote-care.jsonl\n"
        "  clinops lock plan.json plan.jsonl --reason 'the committee asked for a follow-up of 180 days'"
    )
    parser = _command(commands, "lock", _lock, text, example)
    parser.add_argument("protocol", metavar="PROTOCOL", help="the protocol as JSON, as protocol.write(...) made it")
    parser.add_argument("register", metavar="REGISTER", help="the append-only file; made where it is not there")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why a plan that stands is amended")
