"""Tests of whole layers run over each back end."""

import pytest

from carousel import kernels


@pytest.fixture(params=["cpu", "reference"])
def back_end(request):
    with kernels.use(request.param):
        yield request.param
