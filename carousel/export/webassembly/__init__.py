"""WebAssembly: the C file, compiled, and a JavaScript module around it."""
