"""What the programs of this folder share: sections, each printed under its name and compared between two servers.

A program is a file of functions marked @section. main() runs them in order, each with the result of the program's setup, and
prints "== name" and what the section showed. A section that raises prints one line "error: …" instead of its rest, so that
the sections after it still run. With CLIENTS_SAMPLE set only sections marked sample=True run.
"""
import datetime
import decimal
import math
import os
import sys

_sections = []


def section(function=None, *, sample=False):
    """Marks a section; its name is the function's, its docstring says what it covers."""
    def mark(f):
        _sections.append((f.__name__, f, sample))
        return f
    return mark(function) if function else mark


def url(scheme="postgresql"):
    """The server as a URL, for what does not read libpq's environment variables."""
    e = os.environ
    return f"{scheme}://{e['PGUSER']}@{e['PGHOST']}:{e['PGPORT']}/{e['PGDATABASE']}"


def show(*values):
    print("  " + "  ".join(text(v) for v in values))


def text(v):
    """A value with its type, the same for equal values whichever server they came from."""
    if isinstance(v, str):
        return repr(v)
    if v is None or isinstance(v, (bool, int, bytes)):
        return repr(v)
    if isinstance(v, float):
        return "nan" if math.isnan(v) else repr(v)
    if isinstance(v, memoryview):
        return repr(bytes(v))
    if isinstance(v, decimal.Decimal):
        return f"Decimal({v})"
    if isinstance(v, datetime.datetime):
        return f"{type(v).__name__}({v.isoformat()})"
    if isinstance(v, (list, tuple)) and not hasattr(v, "_fields"):
        a, b = "[]" if isinstance(v, list) else "()"
        return a + ", ".join(text(x) for x in v) + b
    if isinstance(v, dict):
        return "{" + ", ".join(f"{text(k)}: {text(x)}" for k, x in v.items()) + "}"
    return f"{type(v).__name__}({v})"


def error(e):
    """An error's class, SQLSTATE and first line, where the driver gives them."""
    cause = getattr(e, "orig", None) or e
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    lines = str(cause).strip().splitlines()
    return f"{type(e).__name__} {state or '-'} {lines[0] if lines else ''}"


def raises(f, *args, **kw):
    """Shows the error that a call raises; that it raises none is shown, too."""
    try:
        f(*args, **kw)
    except Exception as e:  # noqa: BLE001: which one is what is shown
        cause = getattr(e, "orig", None) or e
        show(type(cause).__name__, getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None))
        return e
    show("no error")
    return None


def main():
    sample = bool(os.environ.get("CLIENTS_SAMPLE"))
    for name, f, sampled in _sections:
        if sample and not sampled:
            continue
        print("==", name, flush=True)
        try:
            f()
        except BaseException as e:  # noqa: BLE001: connectorx panics with a BaseException
            if os.environ.get("CLIENTS_TRACE"):
                import traceback
                traceback.print_exc(file=sys.stdout)
            print("error:", error(e))
        sys.stdout.flush()
