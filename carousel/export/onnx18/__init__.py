"""ONNX, opset 18: a layer as one of its recurrent operators where that has the cell's equations, else as a Scan over them."""
