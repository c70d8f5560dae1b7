"""net-conf.json, case by case: what upstream's parser makes of it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubenet_lab.cni import Flannel
from kubenet_lab.cni.flannel import net_conf
from kubenet_lab.errors import KubenetError, NotModelled

TABLE = yaml.safe_load((Path(__file__).parent / "net_conf.yaml").read_text())


@pytest.mark.parametrize("case", TABLE["conf"], ids=lambda c: c["text"])
def test_net_conf(case: dict[str, Any]) -> None:
    found = Flannel.from_net_conf(case["text"])
    assert found == Flannel(**case["is"])
    assert Flannel.from_net_conf(json.dumps(net_conf(found))) == found, "what the lab writes is read back"
    assert case["source"] in TABLE["sources"]


@pytest.mark.parametrize("case", TABLE["errors"], ids=lambda c: c["text"])
def test_bad_net_conf(case: dict[str, Any]) -> None:
    with pytest.raises(KubenetError) as e:
        Flannel.from_net_conf(case["text"])
    assert case["error"] in str(e.value) and not isinstance(e.value, NotModelled)


@pytest.mark.parametrize("case", TABLE["not_modelled"], ids=lambda c: c["text"])
def test_net_conf_that_is_not_modelled(case: dict[str, Any]) -> None:
    with pytest.raises(NotModelled) as e:
        Flannel.from_net_conf(case["text"])
    assert e.value.reason.startswith(case["reason"])


def test_the_daemons_flags_stand_beside_it() -> None:
    text = TABLE["conf"][0]["text"]
    assert asdict(Flannel.from_net_conf(text, ip_masq=False, random_fully=False)) == asdict(Flannel(ip_masq=False, random_fully=False))
