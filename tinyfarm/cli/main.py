"""The `tinyfarm` command: its list of commands, and what becomes of an error."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

import tinyfarm
from tinyfarm.cli import (
    boards,
    cancel,
    check,
    compile,
    demo,
    doctor,
    exit_codes,
    explain,
    get,
    jobs,
    quantize,
    run,
    search,
    targets,
    up,
    watch,
)
from tinyfarm.cli.output import print_json, printable, stderr
from tinyfarm.client import TinyfarmError

TRACEBACK_VARIABLE = "TINYFARM_TRACEBACK"


class _NobodyReadsError(Exception):
    """Standard output is a pipe that was closed, as by `head`: no reason for a word."""


class Commands(TyperGroup):
    """The group of commands, which turns every error into one line, a next step and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command until all that it printed has left."""
        try:
            try:
                return super().invoke(ctx)
            finally:
                sys.stdout.flush()
        except BrokenPipeError:
            # Typer would exit with 1, which says that a budget is broken.
            raise _NobodyReadsError from None

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command and exit with its code."""
        # gRPC's own log says on standard error what the errors here say better.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        if sys.stdout is None:  # closed by the caller
            sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - until the process ends
        given = list(sys.argv[1:] if args is None else args) or ["--help"]
        try:
            code = super().main(given, prog_name, complete_var, False, windows_expand_args, **extra)
        except typer.Abort:
            code = exit_codes.INTERRUPTED
        except _NobodyReadsError:
            _drop_output()
            sys.exit(exit_codes.NOT_DONE)
        except Exception as error:
            if os.environ.get(TRACEBACK_VARIABLE):
                raise
            _tell(_as_error(error), "--json" in given)
            sys.exit(exit_codes.NOT_DONE)
        # Typer makes this code of Ctrl-C, without a word.
        if code == exit_codes.INTERRUPTED:
            _end_interrupted()
        sys.exit(code if isinstance(code, int) else 0)


app = typer.Typer(cls=Commands, add_completion=True, pretty_exceptions_enable=False, rich_markup_mode=None)


def _print_version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"tinyfarm {tinyfarm.__version__}\n")
        raise typer.Exit


@app.callback(help="Find, compile and measure neural networks that fit a microcontroller.")
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Options of the group itself."""


for module in (
    up,
    demo,
    search,
    watch,
    jobs,
    get,
    cancel,
    quantize,
    compile,
    run,
    check,
    explain,
    boards,
    targets,
    doctor,
):
    # Without a text of its own the list of commands would cut each one's after 45 characters.
    first_line = (module.command.__doc__ or "").partition("\n")[0]
    app.command(module.__name__.rpartition(".")[2], short_help=first_line)(module.command)


def _end_interrupted() -> NoReturn:
    """End at once: threads of gRPC whose call was broken off have aborted the interpreter on its way out (SIGABRT)."""
    stderr.print("interrupted")
    _drop_output()
    os._exit(exit_codes.INTERRUPTED)


def _drop_output() -> None:
    """Forget what cannot be printed: the interpreter would try again at its end, and exit with a code of its own."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _as_error(error: Exception) -> TinyfarmError:
    if isinstance(error, TinyfarmError):
        return error
    if isinstance(error, TyperException):
        message = str(getattr(error, "format_message", lambda: str(error))())
        return TinyfarmError(
            message, code="INVALID_ARGUMENT", reason="USAGE", hint="tinyfarm COMMAND --help lists what is allowed"
        )
    if isinstance(error, OSError):
        return TinyfarmError(
            f"{error.strerror or error}: {error.filename}" if error.filename else str(error),
            code="FAILED_PRECONDITION",
            reason="OS_ERROR",
            subject="file" if error.filename else "",
            value=str(error.filename or ""),
            hint="check the path, its permissions and the free space",
        )
    return TinyfarmError(
        f"internal error: {type(error).__name__}: {error}",
        reason="INTERNAL",
        hint=f"set {TRACEBACK_VARIABLE}=1 for details and report it",
    )


def _tell(error: TinyfarmError, as_json: bool) -> None:
    if as_json:
        with suppress(OSError):  # it may be what the error is about
            print_json(error.document())
    _drop_output()
    stderr.print(f"error: {printable(error.line())}", markup=False, soft_wrap=True)
    if error.hint:
        stderr.print(f"next: {printable(error.hint)}", markup=False, soft_wrap=True)
