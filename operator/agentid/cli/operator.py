"""`agentid operator`: runs the operator; needs what the extra `operator` installs."""

import gc
import os
import sys

import typer
import uvloop

from agentid.cluster.errors import ConfigurationError
from agentid.controller.errors import SettingsError
from agentid.controller.run import run_operator
from agentid.controller.settings import Settings, read_settings
from agentid.errors import AgentidError
from agentid.process.errors import TracesError
from agentid.process.logs import configure_logs
from agentid.process.tracing import close_traces, configure_traces

_FAILED = 1
_WRONG_USAGE = 2
_COLLECT_AFTER_OBJECTS = 10_000


def run() -> None:
    """Run until SIGTERM; bad settings or kubeconfig end it with a sentence and code 2, failures with 1."""
    try:
        settings = read_settings(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"agentid operator: {error}\n")
        raise typer.Exit(_WRONG_USAGE) from error
    configure_logs(settings.log_level, settings.log_format)
    try:
        if settings.traces:
            configure_traces("agentid-operator")
        _run(settings)
    except (ConfigurationError, TracesError) as error:
        sys.stderr.write(f"agentid operator: {error}\n")
        raise typer.Exit(_WRONG_USAGE) from error
    except AgentidError as error:
        sys.stderr.write(f"agentid operator: {error}\n")
        raise typer.Exit(_FAILED) from error
    finally:
        close_traces()


def _run(settings: Settings) -> None:
    # What was imported stays: no collection has to look through it again and again. And a pass makes some
    # hundred objects that are gone with it: looked for too often, most of what is found is still in use.
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER_OBJECTS)
    uvloop.run(run_operator(settings))
