"""`serve` behind proxies that are installed here, with TLS, and below a path that they keep or
remove."""

import shutil
import socket
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from command_line import RunningCommand
from free_ports import free_port
from timeouts import HANG_S
from twilio_realtime.sim import sample_speech
from twilio_realtime.sim.audio import encode_wav

TOKEN = 32 * "a"

NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl;
        server_name localhost;
        ssl_certificate     {folder}/certificate.pem;
        ssl_certificate_key {folder}/key.pem;

        location {location} {{
            proxy_pass http://127.0.0.1:{behind}{target};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_read_timeout 1h;
        }}
    }}
}}
"""

CADDY = """
{{
    admin off
    auto_https off
}}
https://localhost:{port} {{
    tls {folder}/certificate.pem {folder}/key.pem
    {handle} {{
        reverse_proxy 127.0.0.1:{behind}
    }}
}}
"""

WAYS = {
    "at the top": ("/", "", "handle"),
    "path kept": ("/voice/", "", "handle /voice/*"),
    "path removed": ("/voice/", "/", "handle_path /voice/*"),
}


@contextmanager
def proxy(name: str, way: str, folder: Path, port: int, behind: int) -> Generator[None]:
    """The proxy in front of the service at the port `behind`."""
    location, target, handle = WAYS[way]
    template = NGINX if name == "nginx" else CADDY
    config = folder / "config"
    config.write_text(
        template.format(
            folder=folder,
            port=port,
            behind=behind,
            location=location,
            target=target,
            handle=handle,
        )
    )
    command = (
        ["nginx", "-p", str(folder), "-c", str(config)]
        if name == "nginx"
        else ["caddy", "run", "--adapter", "caddyfile", "--config", str(config)]
    )
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    program = shutil.which(command[0])
    assert program is not None
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([program, *command[1:]], stdout=log, stderr=log, env=environment)
    try:
        wait_for_port(port, process, folder / "log")
        yield
    finally:
        process.terminate()
        process.wait(HANG_S)


def wait_for_port(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(10 * HANG_S):
        assert process.poll() is None, log.read_text()
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the proxy does not listen")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["nginx", "caddy"])
def test_a_signed_call_passes_a_proxy(name: str, way: str, tmp_path: Path) -> None:
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    authority = trustme.CA()
    leaf = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(str(tmp_path / "trusted.pem"))
    for pem in leaf.cert_chain_pems:
        pem.write_to_path(str(tmp_path / "certificate.pem"), append=True)
    leaf.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    question = tmp_path / "question.wav"
    question.write_bytes(encode_wav(sample_speech.load("caller_question").audio[:1600]))
    port = free_port()
    public = f"https://localhost:{port}{'' if way == 'at the top' else '/voice'}"
    signs = {"TWILIO_AUTH_TOKEN": TOKEN}
    # At the top, the signature proves the URL; below a path it has to be known.
    options = () if way == "at the top" else ("--public-url", public)
    run = ("--port", "0", "--json")
    with RunningCommand("model", "--reply", "speak Hello.", *run) as model:
        serving = ("serve", "--realtime-url", model.wait_for_event("listening")["url"], *run)
        greeting = ("--greeting", "Greet.")
        with RunningCommand(*serving, *greeting, *options, environment=signs) as serve:
            behind = serve.wait_for_event("listening")["port"]
            with proxy(name, way, tmp_path, port, behind):
                trusts = {"SSL_CERT_FILE": str(tmp_path / "trusted.pem")}
                calling = ("phone", f"{public}/incoming-call", "--wait", "--wav", str(question))
                with RunningCommand(
                    *calling, "--quiet-ms", "800", "--json", environment=signs | trusts
                ) as phone:
                    assert phone.wait() == 0, (phone.lines, phone.errors, serve.lines)
    assert phone.events()[-1]["twilio_would_log"] == []
