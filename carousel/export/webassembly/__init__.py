"""WebAssembly: the compiled C file and a JavaScript module around it."""
