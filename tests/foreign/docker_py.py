"""docker-py (PyPI package docker), unmodified."""
import io
import os
import socket
import sys
import tarfile
import threading
import time
import traceback

import docker
from docker.errors import APIError, ContainerError, ImageNotFound, NotFound
from docker.types import Healthcheck, LogConfig, Mount, Ulimit

client = docker.from_env(timeout=60)


def sleeping(**options):
    """A running container that sleeps."""
    return client.containers.run("busybox", ["sleep", "600"], detach=True, **options)


def equal(seen, wanted):
    if seen != wanted:
        raise AssertionError(f"{seen!r} is not {wanted!r}")


def raises(kind, call, status=None):
    try:
        call()
    except kind as error:
        if status is not None:
            equal(error.response.status_code, status)
        return error
    raise AssertionError(f"no {kind.__name__}")


def test_version_info_ping():
    equal(client.ping(), True)
    assert client.version()["Version"]
    equal(client.info()["OSType"], "linux")


def test_run_returns_output():
    equal(client.containers.run("busybox", ["echo", "hello"], remove=True), b"hello\n")
    equal(client.containers.run("busybox", "sh -c 'echo out; echo err >&2'", remove=True, stderr=True, stdout=False), b"err\n")


def test_run_raises_with_the_exit_code():
    error = raises(ContainerError, lambda: client.containers.run("busybox", ["sh", "-c", "echo why >&2; exit 3"]))
    equal((error.exit_status, error.stderr), (3, b"why\n"))
    error.container.remove()


def test_run_with_many_options():
    container = sleeping(
        name="many", hostname="host", user="33", working_dir="/tmp", environment={"A": "b"}, labels=["one", "two"], mem_limit="64m",
        nano_cpus=500_000_000, pids_limit=50, cap_drop=["ALL"], cap_add=["CHOWN"], read_only=True, tmpfs={"/run": "size=1m"}, init=True,
        ports={"80/tcp": ("127.0.0.1", None)}, extra_hosts={"other": "10.1.2.3"}, dns=["192.0.2.1"], sysctls={"net.ipv4.ip_forward": "0"},
        ulimits=[Ulimit(name="nofile", soft=100, hard=200)], log_config=LogConfig(type="json-file", config={"max-size": "1m"}),
        restart_policy={"Name": "on-failure", "MaximumRetryCount": 2}, stop_signal="SIGKILL", shm_size="8m",
    )
    try:
        host = container.attrs["HostConfig"] if container.attrs.get("HostConfig") else client.containers.get("many").attrs["HostConfig"]
        equal((host["Memory"], host["NanoCpus"], host["PidsLimit"], host["Init"]), (67108864, 500_000_000, 50, True))
        code, output = container.exec_run(["sh", "-c", "hostname; id -u; pwd; echo $A; ulimit -n; cat /proc/sys/net/ipv4/ip_forward"])
        equal((code, output), (0, b"host\n33\n/tmp\nb\n100\n0\n"))
        container.reload()
        assert container.ports["80/tcp"][0]["HostPort"].isdigit()
    finally:
        container.remove(force=True)


def test_exec_streams_apart_and_as_they_come():
    container = sleeping()
    code, (out, err) = container.exec_run(["sh", "-c", "echo out; echo err >&2; exit 7"], demux=True)
    equal((code, out, err), (7, b"out\n", b"err\n"))
    _, stream = container.exec_run(["sh", "-c", "for n in 1 2 3; do echo $n; sleep 0.05; done"], stream=True)
    equal(b"".join(stream), b"1\n2\n3\n")
    for _ in range(10):  # fast ones lose nothing
        equal(container.exec_run(["echo", "quick"]).output, b"quick\n")
    container.remove(force=True)


def test_exec_over_a_socket():
    container = sleeping()
    made = client.api.exec_create(container.id, ["cat"], stdin=True, tty=True)
    stream = client.api.exec_start(made["Id"], socket=True, tty=True)
    raw = getattr(stream, "_sock", stream)
    raw.sendall(b"typed\n")
    seen = b""
    while seen.count(b"typed") < 2:
        part = raw.recv(1000)
        assert part, seen
        seen += part
    client.api.exec_resize(made["Id"], height=20, width=30)
    raw.sendall(b"\x04")
    while raw.recv(1000):
        pass
    equal(client.api.exec_inspect(made["Id"])["ExitCode"], 0)
    container.remove(force=True)


def test_attach_to_what_has_ended():
    container = client.containers.run("busybox", ["echo", "over"], detach=True)
    container.wait()
    for _ in range(20):
        equal(container.attach(stdout=True, stderr=True, logs=True), b"over\n")
    container.remove()


def test_attach_with_standard_input():
    container = client.containers.create("busybox", ["cat"], stdin_open=True)
    stream = container.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
    raw = getattr(stream, "_sock", stream)
    container.start()
    raw.sendall(b"line\n")
    seen = b""
    while b"line\n" not in seen:
        seen += raw.recv(1000)
    raw.shutdown(socket.SHUT_WR)
    container.remove(force=True)


def test_logs_whole_followed_and_cut():
    container = client.containers.run("busybox", ["sh", "-c", "for n in 1 2 3; do echo $n; sleep 0.1; done"], detach=True)
    equal(list(container.logs(stream=True, follow=True)), [b"1\n", b"2\n", b"3\n"])
    equal(container.logs(tail=1), b"3\n")
    assert container.logs(timestamps=True).startswith(b"20")
    equal(container.wait()["StatusCode"], 0)
    container.remove()


def test_files_in_and_out():
    container = sleeping()
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        entry = tarfile.TarInfo("sent")
        entry.size, entry.mode = 8, 0o640
        tar.addfile(entry, io.BytesIO(b"content\n"))
    assert container.put_archive("/tmp", data.getvalue())
    chunks, stat = container.get_archive("/tmp/sent")
    equal((stat["name"], stat["size"]), ("sent", 8))
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
        equal(tar.extractfile("sent").read(), b"content\n")
    raises(NotFound, lambda: container.get_archive("/nowhere"))
    assert {"Path": "/tmp/sent", "Kind": 1} in container.diff()
    container.remove(force=True)


def test_life_of_a_container():
    container = client.containers.create("busybox", ["sleep", "600"], name="life")
    equal(container.status, "created")
    container.start()
    for act, status in (("pause", "paused"), ("unpause", "running")):
        getattr(container, act)()
        container.reload()
        equal(container.status, status)
    container.restart(timeout=0)
    while "sleep 600" not in str(container.top()["Processes"]):  # it is not there the moment its container is started
        time.sleep(0.05)
    container.kill(signal="SIGUSR1")
    container.stop(timeout=0)
    equal(container.wait()["StatusCode"], 137)
    container.rename("death")
    equal(client.containers.get("death").id, container.id)
    equal([c.name for c in client.containers.list(all=True, filters={"name": "death", "status": "exited"})], ["death"])
    container.remove(v=True)
    raises(NotFound, container.reload, 404)


def test_stats():
    container = sleeping()
    once = container.stats(stream=False)
    assert once["memory_stats"]["usage"] > 0
    stream = container.stats(decode=True)
    equal(next(stream)["id"], container.id)
    container.remove(force=True)


def test_update_and_commit():
    container = sleeping()
    container.update(mem_limit="128m", memswap_limit="128m", cpu_shares=512)
    container.reload()
    equal((container.attrs["HostConfig"]["Memory"], container.attrs["HostConfig"]["CpuShares"]), (134217728, 512))
    container.exec_run(["touch", "/kept"])
    image = container.commit(repository="committed-py", tag="1", changes=["ENV X=y"], author="somebody", message="why")
    equal(client.containers.run(image, ["sh", "-c", "ls /kept; echo $X"], remove=True), b"/kept\ny\n")
    container.remove(force=True)
    client.images.remove("committed-py:1")


def test_health():
    check = Healthcheck(test=["CMD", "true"], interval=200_000_000, retries=1)
    container = sleeping(healthcheck=check)
    for event in client.events(decode=True, filters={"container": container.id}, since=0):
        if event["Action"].startswith("health_status"):
            equal(event["Action"], "health_status: healthy")
            break
    container.reload()
    equal(container.health, "healthy")
    container.remove(force=True)


def test_mounts_and_volumes():
    volume = client.volumes.create("of-docker-py", labels={"a": "b"})
    mounts = [Mount("/data", "of-docker-py"), Mount("/mem", None, type="tmpfs", tmpfs_size=1 << 20)]
    client.containers.run("busybox", ["sh", "-c", "echo kept > /data/file; mount | grep -q ' /mem '"], mounts=mounts, remove=True)
    seen = client.containers.run("busybox", ["cat", "/v/file"], volumes={"of-docker-py": {"bind": "/v", "mode": "ro"}}, remove=True)
    equal(seen, b"kept\n")
    equal([v.name for v in client.volumes.list(filters={"label": "a=b"})], ["of-docker-py"])
    volume.remove()
    raises(NotFound, lambda: client.volumes.get("of-docker-py"))


def test_networks():
    pool = docker.types.IPAMPool(subnet="10.213.7.0/24", gateway="10.213.7.254")
    network = client.networks.create("of-docker-py", ipam=docker.types.IPAMConfig(pool_configs=[pool]), labels={"a": "b"})
    container = sleeping(name="served", network="of-docker-py")
    other = sleeping()
    network.connect(other, aliases=["alias"], ipv4_address="10.213.7.77")
    code, output = container.exec_run(["nslookup", "alias"])
    assert b"10.213.7.77" in output, output
    network.reload()
    equal(sorted(c.id for c in network.containers), sorted([container.id, other.id]))
    network.disconnect(other, force=True)
    container.remove(force=True)
    other.remove(force=True)
    network.remove()


def test_images():
    image = client.images.get("busybox")
    assert image.id.startswith("sha256:") and "busybox:latest" in image.tags
    assert image.tag("renamed-py", tag="1")
    archive = b"".join(client.images.get("renamed-py:1").save(named=True))
    client.images.remove("renamed-py:1")
    equal([i.id for i in client.images.load(archive)], [image.id])
    assert image.history()
    raises(ImageNotFound, lambda: client.images.get("nothing-of-this-name"))


def test_events():
    seen = []
    stream = client.events(decode=True, filters={"container": "eventful-py", "type": "container"})
    reader = threading.Thread(target=lambda: [seen.append(e["Action"]) for e in stream])
    reader.daemon = True
    reader.start()
    client.containers.run("busybox", ["true"], name="eventful-py", remove=True)
    for _ in range(100):
        if "destroy" in seen:
            break
        reader.join(0.1)
    stream.close()
    equal([a for a in seen if a != "attach"], ["create", "start", "die", "destroy"])


def test_errors():
    raises(NotFound, lambda: client.containers.get("nobody"), 404)
    container = sleeping(name="taken-py")
    raises(APIError, lambda: client.containers.create("busybox", name="taken-py"), 409)
    raises(APIError, container.remove, 409)
    raises(APIError, lambda: client.api.create_container("busybox", name="bad/name"), 400)
    container.remove(force=True)


def test_prune_and_disk_usage():
    client.containers.create("busybox", labels={"prune": "me"})
    pruned = client.containers.prune(filters={"label": "prune=me"})
    equal(len(pruned["ContainersDeleted"]), 1)
    usage = client.df()
    assert usage.get("ImageUsage") or usage["Images"]


def test_an_old_version():
    old = docker.DockerClient(base_url=os.environ["DOCKER_HOST"], version="1.24")
    equal(old.containers.run("busybox", ["echo", "old"], remove=True), b"old\n")
    old.close()


for name, body in [(name[5:], body) for name, body in list(globals().items()) if name.startswith("test_")]:
    try:
        body()
        print(f"ok {name}", flush=True)
    except Exception:
        print(f"not ok {name}: {traceback.format_exc()}".rstrip().replace("\n", "\\n"), flush=True)
sys.stdout.flush()
os._exit(0)
