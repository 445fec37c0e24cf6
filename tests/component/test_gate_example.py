"""The Envoy of deploy/gate, as it stands but for its files and addresses, in front of a server."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
import yaml
from cryptography import x509

from agentid.gate.enforcement_points import EnforcementPoints, EnforcementPointSpec
from agentid.gate.grpc_server import GrpcServer
from agentid.gate.mapping import Mapper, Mapping
from agentid.gate.peers import Source
from agentid.pki.serial import serial_hex
from devcluster.places import CHECKOUT
from tests.component.envoy_in_front import Material, configured
from tests.component.test_gate_behind_envoy import CALL, Front
from tests.unit.gate_cases import SPIFFE_ID, Gate, body, condition, credential

EXAMPLE: Final = CHECKOUT / "deploy" / "gate"
HOST: Final = "orders.example.com"
NAME: Final = "agentid-gate.agentid-system.svc"


def example(text: str, folder: Path) -> Any:  # noqa: ANN401 - YAML
    """A file of the example, with the files of this test in the place of those of a pod."""
    places = {
        "/var/run/secrets/agentid.dev": str(folder / "agentid.dev"),
        "/etc/envoy/": f"{folder}/",
        f"address: {NAME}": "address: 127.0.0.1",
        NAME: "localhost",
    }
    for there, here in places.items():
        text = text.replace(there, here)
    return yaml.safe_load(text)


def lay_out(material: Material, folder: Path) -> None:
    """Put certificates where the example looks for them."""
    values = yaml.safe_load((EXAMPLE / "values.yaml").read_text())["gate"]
    (point,) = values["enforcementPoints"]
    for place, uri in (("agentid.dev", f"{SPIFFE_ID}1"), ("gate", point["spiffeID"])):
        material.write(place, uri)
        mounted = folder / place
        mounted.mkdir()
        for name, end in (("tls.crt", "crt"), ("tls.key", "key")):
            (mounted / name).write_bytes((folder / f"{place}.{end}").read_bytes())
        (mounted / "ca.crt").write_text(material.certificates.root)
    for name, text in yaml.safe_load((EXAMPLE / "secrets.yaml").read_text())["data"].items():
        (folder / name).write_text(yaml.safe_dump(example(text, folder)))


@dataclass
class Asked(Front):
    """What is in front, and the decision point's server behind it."""

    server: GrpcServer


@pytest.fixture
async def front(tmp_path: Path) -> AsyncIterator[Asked]:
    material, gate = Material(tmp_path), Gate()
    lay_out(material, tmp_path)
    serial = x509.load_pem_x509_certificate(material.write("agent", SPIFFE_ID)).serial_number
    gate.take(body(credentials=[credential(serial_hex(serial))]))
    values = yaml.safe_load((EXAMPLE / "values.yaml").read_text())["gate"]
    listed = [EnforcementPointSpec.model_validate(each) for each in values["enforcementPoints"]]
    mapper = Mapper(Mapping.model_validate(values["mapping"]))
    server = GrpcServer(
        gate.ask,
        EnforcementPoints(listed),
        None,
        mapper,
        (Source.CERTIFICATE,),
        message_bytes=131_072,
        calls_at_once=64,
    )
    material.write("own", "spiffe://prod.example.com/ns/agentid-system/sa/agentid-gate")
    pair = (tmp_path / "own.key").read_bytes(), (tmp_path / "own.crt").read_bytes()
    tls = grpc.ssl_server_credentials([pair], material.certificates.root.encode(), require_client_auth=True)
    port = await server.start("127.0.0.1", 0, tls)

    def configuration(own: int, upstream: int) -> Any:  # noqa: ANN401 - YAML
        made = example((EXAMPLE / "envoy.yaml").read_text(), tmp_path)
        (listener,) = made["static_resources"]["listeners"]
        listener["address"]["socket_address"] |= {"address": "127.0.0.1", "port_value": own}
        for cluster, there in zip(made["static_resources"]["clusters"], (upstream, port), strict=True):
            (where,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
            where["endpoint"]["address"]["socket_address"]["port_value"] = there
        return made

    async with configured(material, configuration) as url:
        yield Asked(url, gate, material, server)
    await server.stop()


async def test_an_agent_gets_through_with_what_its_task_is_for_until_that_ends(front: Asked) -> None:
    assert await front.send("/orders/4711", Host=HOST) == (200, None, "upstream saw /orders/4711")
    assert (await front.send("/orders/9", Host=HOST))[:2] == (403, "ResourceNotGranted")
    assert (await front.send("/orders/4711", Host="other.example.com"))[:2] == (403, "NotMapped")
    tool = {**CALL, "params": {"name": "read_order", "arguments": {"order": 4711}}}
    assert (await front.send("/mcp", call=tool, Host=HOST))[0] == 200

    front.gate.take(body(conditions=[condition("Finished", "True", "Ended")], credentials=[]))

    assert (await front.send("/orders/4711", Host=HOST))[:2] == (403, "TaskEnded")


async def test_no_answer_is_no(front: Asked) -> None:
    assert (await front.send("/orders/4711", Host=HOST))[0] == 200

    await front.server.stop()

    status, _, text = await front.send("/orders/4711", Host=HOST)
    assert (status, "upstream saw" in text) == (503, False)
