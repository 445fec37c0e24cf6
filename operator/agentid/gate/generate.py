"""Write what is generated from `wire/ext_authz.proto`, or check it."""

import sys
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Final

from agentid.api.generate import write_or_check

_SOURCE_ROOT: Final = Path("operator")
_PROTO: Final = "agentid/gate/wire/ext_authz.proto"
_MADE: Final = ("agentid/gate/wire/ext_authz_pb2.py", "agentid/gate/wire/ext_authz_pb2.pyi")


def generated() -> dict[str, str]:
    """Return the text of each generated file by its path below the root of the repository.

    Raises:
        RuntimeError: the compiler refuses the source; it says why on standard error.
    """
    from grpc_tools import protoc  # noqa: PLC0415 - of the development environment only

    with tempfile.TemporaryDirectory() as folder:
        arguments = [f"-I{_SOURCE_ROOT}", f"-I{files('grpc_tools') / '_proto'}"]
        made = protoc.main(["protoc", *arguments, f"--python_out={folder}", f"--pyi_out={folder}", _PROTO])
        if made != 0:
            raise RuntimeError(f"protoc refuses {_PROTO}")
        return {str(_SOURCE_ROOT / each): (Path(folder) / each).read_text(encoding="utf-8") for each in _MADE}


if __name__ == "__main__":
    sys.exit(write_or_check(generated(), str(__doc__)))
