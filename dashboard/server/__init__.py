"""The whole program put together: application, sockets, logs and uvicorn."""
