"""The real server on loopback."""

import json
import socket
import threading
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlencode

import pytest

from seam_pipeline.annotation._session import Session
from seam_pipeline.annotation.pairs import Pair, Sheet
from seam_pipeline.annotation.server import AnnotationServer
from seam_pipeline.errors import SeamError

from .conftest import Serve
from .made import pairs


def ask(server: AnnotationServer, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    sent = {"Origin": server.url, "Content-Type": "application/json"} if body is not None else {}
    sent = {
        name: value for name, value in (sent | {k.replace("_", "-"): v for k, v in headers.items()}).items() if value
    }
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(server.url + path, data, sent), timeout=20) as reply:
            return reply.status, json.loads(reply.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def page_of(server: AnnotationServer, annotator: str) -> dict[str, Any]:
    status, page = ask(server, "/api/next?" + urlencode({"annotator": annotator}))
    assert status == 200, page
    return page


def choose(server: AnnotationServer, name: str, page: dict[str, Any], choice: str, **more: Any) -> tuple[int, Any]:
    item = page["item"]
    sent = {"annotator": name, "position": item["position"], "token": item["token"], "choice": choice}
    return ask(server, "/api/judge", sent | more)


def test_a_person_judges_all_and_goes_on_after_a_restart(serve: Serve) -> None:
    server = serve()
    page = page_of(server, "ann")
    assert (page["total"], page["done"], page["first"]) == (6, 0, True)
    for done in range(3):
        status, page = choose(server, "ann", page, "left", seconds=1.23456, comment=" why \n")
        assert (status, page["done"]) == (200, done + 1)
    again = serve()
    assert page_of(again, "ann") == page
    for _ in range(3):
        _, page = choose(again, "ann", page, "tie")
    assert (page["item"], page["done"], page["first"]) == (None, 6, False)
    rows = server.session.store.judgements()
    assert [row.choice for row in rows[3:]] == ["tie"] * 3
    for row in rows[:3]:
        assert (row.choice, row.seconds, row.comment) == (row.left, 1.235, "why")
        assert row.pair == {pair.id: pair.key for pair in pairs()}[row.id]


def test_what_a_person_saw_is_what_is_kept(serve: Serve) -> None:
    server = serve(pairs(12))
    for name in ("ann", "bob"):
        page = page_of(server, name)
        while page["item"]:  # always the good one, wherever it stands
            page = choose(server, name, page, "left" if "good" in page["item"]["left"] else "right")[1]
    rows = server.session.store.judgements()
    assert {row.choice for row in rows} == {"1"}
    assert {row.left for row in rows} == {"1", "2"}
    sides = {name: [row.left for row in rows if row.annotator == name] for name in ("ann", "bob")}
    assert sides["ann"] != sides["bob"]


def test_the_page_is_blind(serve: Serve) -> None:
    server = serve([Pair("gpt-4-vs-llama", "i?", "one", "two", {"source_1": "GPT", "policy": 3})])
    status, page = ask(server, "/api/next?annotator=ann")
    assert status == 200
    assert set(page["item"]) == {"position", "token", "instruction", "left", "right", "choice", "comment"}
    for word in ("gpt", "llama", "source", "policy", "response_1", "response_2"):
        assert word not in json.dumps(page).lower()


def test_back_shows_the_choice_and_a_new_one_replaces_it(serve: Serve) -> None:
    server = serve()
    first = page_of(server, "ann")
    _, second = choose(server, "ann", first, "left", comment="first thought")
    _, third = choose(server, "ann", second, "right")
    _, back = ask(server, f"/api/before?annotator=ann&position={third['item']['position']}")
    assert (back["item"]["position"], back["item"]["choice"]) == (second["item"]["position"], "right")
    _, back = ask(server, f"/api/before?annotator=ann&position={back['item']['position']}")
    assert (back["item"]["choice"], back["item"]["comment"], back["first"]) == ("left", "first thought", True)
    assert ask(server, "/api/before?annotator=ann&position=0")[0] == 404
    _, on = choose(server, "ann", back, "tie")
    assert (on["item"], on["done"]) == (third["item"], 2)
    store = server.session.store
    assert sorted(row.choice == "tie" for row in store.judgements()) == [False, True]
    assert len(store.judgements(history=True)) == 3


def test_pages_of_another_pair_person_or_seed_are_refused(serve: Serve) -> None:
    server, other = serve(), serve(seed=1)
    page = page_of(server, "ann")
    changed = {"position": 1}, {"token": "0" * 32}, {"annotator": "bob"}, {"position": 99}, {"position": None}
    for wrong in changed:
        assert choose(server, "ann", page, "left", **wrong)[0] == 409, wrong
    assert choose(other, "ann", page, "left")[0] == 409
    assert choose(server, "ann", page, "A")[0] == 400
    for wrong in ({"comment": "x" * 5001}, {"comment": 3}, {"comment": "\ud800"}, {"annotator": " "}):
        assert choose(server, "ann", page, "left", **wrong)[0] == 400, wrong
    assert server.session.store.judgements() == []
    for nonsense in (float("nan"), -1, "soon", True, None):
        assert choose(server, "ann", page_of(server, "ann"), "tie", seconds=nonsense)[0] == 200
    assert {row.seconds for row in server.session.store.judgements()} == {None}


def test_other_hosts_and_sites_get_nothing(serve: Serve) -> None:
    server = serve()
    port = server.server_port
    page = page_of(server, "ann")
    for host in (f"evil.example:{port}", "evil.example", f"127.0.0.1.evil.example:{port}", "", "[::1"):
        for path in ("/", "/api/people", "/api/next?annotator=ann"):
            assert ask(server, path, Host=host or " ")[0] == 403, host
    assert ask(server, "/api/people", Host=f"localhost:{port}")[0] == 200
    assert ask(server, "/api/people", Host="localhost:9999")[0] == 200  # a tunnel may have another port
    assert ask(server, "/api/people", Origin="http://evil.example")[0] == 403
    for origin in ("http://evil.example", "null", f"http://localhost:{port}", f"https://127.0.0.1:{port}", ""):
        sent = {"annotator": "ann", "position": 0, "token": page["item"]["token"], "choice": "left"}
        assert ask(server, "/api/judge", sent, Origin=origin)[0] == 403, origin
    assert ask(server, "/api/judge", b"annotator=ann", Content_Type="application/x-www-form-urlencoded")[0] == 404
    assert ask(server, "/api/judge", b"{")[0] == 400
    assert ask(server, "/api/judge", b"[1]")[0] == 400
    assert ask(server, "/api/judge", b" " * 70_000)[0] == 413
    assert server.session.store.judgements() == []


def test_nothing_may_be_fetched_or_framed(serve: Serve) -> None:
    server = serve()
    with urllib.request.urlopen(server.url + "/") as reply:
        policy, page = reply.headers["Content-Security-Policy"], reply.read().decode()
    for rule in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "connect-src 'self'"):
        assert rule in policy
    assert "http://" not in page
    assert "https://" not in page
    assert server.server_address[0] == "127.0.0.1"


def test_several_people_in_several_tabs(serve: Serve) -> None:
    server = serve(pairs(8))

    def work(name: str) -> None:
        page = page_of(server, name)
        while page["item"]:
            page = choose(server, name, page, "left")[1]

    threads = [threading.Thread(target=work, args=(name,)) for name in ("ann", "ann", "bob", "eve")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ask(server, "/api/people")[1]["people"] == {"ann": 8, "bob": 8, "eve": 8}
    assert len(server.session.store.judgements()) == 24


def test_one_name_only_with_annotator(serve: Serve) -> None:
    server = serve(annotator="ann")
    assert ask(server, "/api/people")[1]["annotator"] == "ann"
    assert ask(server, "/api/next?annotator=ann")[0] == 200
    assert ask(server, "/api/next?annotator=bob") == (403, {"error": "Only ann judges here (--annotator)."})
    assert ask(server, "/api/next?annotator=" + "x" * 65)[0] == 400
    assert ask(server, "/api/next")[0] == 400
    assert ask(server, "/../secret")[0] == 404


def test_a_port_in_use_is_one_sentence(serve: Serve) -> None:
    server = serve()
    with pytest.raises(SeamError, match=f"Port {server.server_port} on 127.0.0.1 is in use"):
        AnnotationServer(Session(server.session.store, Sheet(pairs(), 0)), server.server_port)


def test_a_choice_that_is_being_written_is_finished_before_the_end(serve: Serve) -> None:
    server = serve()
    page = page_of(server, "ann")
    with socket.create_connection(("127.0.0.1", server.server_port)) as idle:
        idle.sendall(b"POST /api/judge HTTP/1.0\r\n")  # a browser that never ends its request holds nothing up
        assert choose(server, "ann", page, "left")[0] == 200
        server.shutdown()
        server.close()
    server.writing.release()
    assert len(server.session.store.judgements()) == 1
