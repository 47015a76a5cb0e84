"""Where samples come from: engines, the kernel, applications."""
