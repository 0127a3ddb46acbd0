"""A bucket that is not a mock: OpenStack Swift with its S3 API, on a host of its own."""

from textwrap import dedent

from hosts import NEEDED, USER, Host, wait_until

NEEDED_BY_SWIFT = NEEDED | {
    "swift-proxy-server": "swift-proxy",
    "swift-account-server": "swift-account",
    "swift-container-server": "swift-container",
    "swift-object-server": "swift-object",
    "memcached": "memcached",
}

PORT = 8080
BUCKET = "results"

KEYS = {
    "AWS_ACCESS_KEY_ID": "test:tester",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_EC2_METADATA_DISABLED": "true",
}

SERVERS = {"account": 6202, "container": 6201, "object": 6200}

SERVER = """
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = /etc/swift
devices = /srv/host/devices
mount_check = false
log_level = WARNING

[pipeline:main]
pipeline = {name}-server

[app:{name}-server]
use = egg:swift#{name}
fallocate_reserve = 0
"""

PROXY = f"""
[DEFAULT]
bind_ip = 0.0.0.0
bind_port = {PORT}
workers = 0
user = {USER}
swift_dir = /etc/swift
log_level = WARNING

[pipeline:main]
pipeline = catch_errors cache listing_formats s3api tempauth slo dlo proxy-server

[app:proxy-server]
use = egg:swift#proxy
allow_account_management = true
account_autocreate = true

[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin

[filter:s3api]
use = egg:swift#s3api

[filter:catch_errors]
use = egg:swift#catch_errors
[filter:cache]
use = egg:swift#memcache
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
"""

COMMON = """
[swift-hash]
swift_hash_path_suffix = of
swift_hash_path_prefix = tests
[storage-policy:0]
name = only
default = yes
"""


class SwiftBucket:
    """It, on a host that has been booted."""

    MORE = dedent(
        """
        mkdir -p /srv/host/swift /srv/host/devices/d1
        mount --bind /srv/host/swift /etc/swift
        chown -R lip: /srv/host/devices /srv/host/swift
        """
    )
    """What prepares the host."""

    def __init__(self, host: Host) -> None:
        self.host = host
        configured = host.folder / "swift"
        (configured / "swift.conf").write_text(COMMON)
        (configured / "proxy.conf").write_text(PROXY)
        for name, port in SERVERS.items():
            text = SERVER.format(name=name, port=port, user=USER)
            (configured / f"{name}.conf").write_text(text)
            self._ring(name, port)
        host.start("memcached", "-l", "127.0.0.1", log="memcached.log")
        for name in (*SERVERS, "proxy"):
            words = (f"swift-{name}-server", f"/etc/swift/{name}.conf")
            host.start(
                "/usr/bin/python3",
                f"/usr/bin/{words[0]}",
                words[1],
                log=f"{name}.log",
                environment={"PYTHONPATH": ""},
            )
        wait_until(self._answers, "the bucket", patience_s=600, every_s=1)

    @property
    def address(self) -> str:
        """For `--store`, with the name of a store in place of %s."""
        endpoint = f"{self.host.address}:{PORT}"
        return f"s3://{BUCKET}/%s?scheme=http&endpoint_override={endpoint}&region=us-east-1"

    def _ring(self, name: str, port: int) -> None:
        built = f"/etc/swift/{name}.builder"
        device = f"r1z1-127.0.0.1:{port}/d1"
        for words in ("create 4 1 0", f"add {device} 1", "rebalance"):
            self.host.shell(
                f"swift-ring-builder {built} {words} || [ $? = 1 ]", environment={"PYTHONPATH": ""}
            )

    def _answers(self) -> bool:
        """Whether there is a bucket by now."""
        script = (
            "import boto3; client = boto3.client('s3', region_name='us-east-1', "
            f"endpoint_url='http://{self.host.address}:{PORT}');"
            f"client.create_bucket(Bucket='{BUCKET}'); client.head_bucket(Bucket='{BUCKET}')"
        )
        return not self.host.run("python", "-c", script, environment=KEYS, check=False).returncode
