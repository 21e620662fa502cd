"""Ways of running that every feature is tested in."""

import pytest


@pytest.fixture(params=["stepwise", "held"])
def way(request, monkeypatch):
    monkeypatch.setenv("CAROUSEL_TRITON_WAY", request.param)
    return request.param
