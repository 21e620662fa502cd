"""Models of ONNX that were exported, checked and run by ONNX Runtime."""

import numpy as np
import pytest
import torch

onnx = pytest.importorskip("onnx", reason="the package onnx is missing: pip install carousel-rnn[onnx]")
onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is missing: pip install carousel-rnn[onnx]")


def session(model):
    """A session of a model that the checker has passed."""
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def fresh(runs):
    """States of no rows, with which a layer begins as it does."""
    return {x.name: np.zeros((x.shape[0], 0, x.shape[2]), np.float32) for x in runs.get_inputs() if x.shape[1:2] == ["rows"]}


def outputs(runs, given):
    """All outputs for tensors by name, as tensors; states that are not given are fresh."""
    values = fresh(runs) | {name: x.numpy() for name, x in given.items()}
    return [torch.from_numpy(x) for x in runs.run(None, values)]


def kinds(model):
    """The operators that run a loop."""
    return [n.op_type for n in model.graph.node if n.op_type in ("LSTM", "GRU", "RNN", "Scan")]
