"""The list of cases: each file here registers its own with @case, in the order they are made by `all`."""
import dataclasses
import importlib
import typing

_known = {}


@dataclasses.dataclass
class Case:
    name: str
    about: str
    expect: typing.List[str]
    packages: typing.List[str]
    function: typing.Callable


def case(name, packages=(), expect=()):
    """Register a function as a case; its doc string is what the README says it is."""
    def register(function):
        about = "\n".join(line.strip() for line in (function.__doc__ or "").strip().splitlines())
        _known[name] = Case(name, about, list(expect), list(packages), function)
        return function
    return register


def load():
    for module in ("web", "services", "floods", "scans", "webattacks", "bruteforce", "tunnels", "slow", "local", "protocols", "behaviour", "contracts", "encapsulation", "formats", "evasion"):
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as missing:
            if missing.name != module:
                raise
    return _known
