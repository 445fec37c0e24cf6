"""`agentid gate`: runs the decision point; needs what the extra `operator` installs."""

import gc
import os
import sys

import typer
import uvloop

from agentid.cluster.errors import ConfigurationError
from agentid.errors import AgentidError
from agentid.gate.errors import GateSettingsError, UnusableMappingError
from agentid.gate.run import run_gate
from agentid.gate.settings import read_gate_settings
from agentid.process.errors import TracesError
from agentid.process.logs import configure_logs
from agentid.process.tracing import close_traces, configure_traces

_FAILED = 1
_WRONG_USAGE = 2


def run() -> None:
    """Run until SIGTERM; bad settings, mapping or kubeconfig end it with code 2, failures with 1."""
    try:
        settings = read_gate_settings(os.environ)
        configure_logs(settings.log_level, settings.log_format)
        if settings.traces:
            configure_traces("agentid-gate")
        # What was imported stays: no collection has to look through it again and again.
        gc.freeze()
        uvloop.run(run_gate(settings))
    except (GateSettingsError, UnusableMappingError, ConfigurationError, TracesError) as error:
        sys.stderr.write(f"agentid gate: {error}\n")
        raise typer.Exit(_WRONG_USAGE) from error
    except AgentidError as error:
        sys.stderr.write(f"agentid gate: {error}\n")
        raise typer.Exit(_FAILED) from error
    finally:
        close_traces()
