#!/bin/sh
# Makes a Debian machine ready for Docker. Run as root, as often as you like: it does what is missing.
#
#     sh -s -- USER SSH_PORT DATA_SERIAL OPEN_PORTS
#
# USER may use Docker afterwards. DATA_SERIAL is the serial of the disk that Docker keeps everything on, or
# empty. OPEN_PORTS are TCP ports with spaces, besides that of ssh. No secret goes in, and none comes out.
#
# A line "== ronron: STEP" begins each step, so that a failure names its own; "changed: ..." says what was not
# as it should be.
set -eu
exec 2>&1
export DEBIAN_FRONTEND=noninteractive LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
umask 022

user=$1 ssh_port=$2 data_serial=$3 open_ports=$4
mount_point=/srv/ronron-data
default_root=/var/lib/docker

step() { echo "== ronron: $1"; }
changed() { echo "changed: $1"; }

# placed FILE TEXT: writes the file, if it differs; true when it did.
placed() {
    if [ -f "$1" ] && printf '%s\n' "$2" | cmp -s - "$1"; then
        return 1
    fi
    # Whoever asks `if placed` has switched off `set -e` in here.
    mkdir -p "${1%/*}" || exit 1
    printf '%s\n' "$2" >"$1.ronron-new" || exit 1
    mv "$1.ronron-new" "$1" || exit 1
    changed "$1"
}

first_boot() {
    command -v cloud-init >/dev/null || return 0
    code=0
    # Longer than it takes on a slow disk with updates of packages.
    timeout 900 cloud-init status --wait --long || code=$?
    case $code in
    0 | 2) return 0 ;; # 2: done, and something went wrong that it got over
    124) echo "still not done after 15 minutes" ;;
    esac
    echo "--- /var/log/cloud-init-output.log"
    tail -n 15 /var/log/cloud-init-output.log || true
    return 1
}

installed() { dpkg-query --show --showformat '${db:Status-Status}\n' "$@" 2>/dev/null | grep -qx installed; }

install_missing() {
    missing=
    for package in "$@"; do
        installed "$package" || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    # A run before may have been cut off; a fresh machine is updating its own lists.
    dpkg --configure -a
    apt-get -q -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 update
    # shellcheck disable=SC2086 # a list
    apt-get -q -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 \
        install --yes --no-install-recommends $missing
    changed "packages$missing"
}

data_device() {
    for link in /dev/disk/by-id/*_"$data_serial"; do
        if [ -b "$link" ]; then
            readlink -f "$link"
            return 0
        fi
    done
    lsblk --nodeps --noheadings --paths --output NAME,SERIAL |
        while read -r name serial; do
            if [ "$serial" = "$data_serial" ]; then
                echo "$name"
                break
            fi
        done
}

# Only what holds nothing at all is formatted: no file system, no partitions, no signature of anything.
data_disk() {
    device=$(data_device)
    if [ -z "$device" ]; then
        echo "no disk has the serial $data_serial"
        return 1
    fi
    held=$(wipefs --no-act --noheadings --output TYPE "$device" | tr '\n' ' ')
    parts=$(lsblk --noheadings --list --output TYPE "$device" | tail -n +2 | tr '\n' ' ')
    kind=$(blkid --probe --match-tag TYPE --output value "$device" || true)
    if [ -z "$held$parts" ]; then
        mkfs.ext4 -q -m 1 -L ronron-data "$device"
        kind=ext4
        changed "formatted $device"
    fi
    case "$kind/$parts" in
    ext4/ | xfs/ | btrfs/) ;;
    *)
        echo "$device holds something else and is not touched: $held$parts"
        return 1
        ;;
    esac
    uuid=$(blkid --probe --match-tag UUID --output value "$device")
    # Without the disk the machine still starts, after half a minute, and can be looked at; Docker does not,
    # see below. A disk that was made larger is used whole after a restart.
    line="UUID=$uuid $mount_point $kind defaults,nofail,x-systemd.device-timeout=30s,x-systemd.growfs 0 2"
    if ! grep -qxF "$line" /etc/fstab; then
        kept=$(grep -v "[[:space:]]$mount_point[[:space:]]" /etc/fstab || true)
        placed /etc/fstab "$(printf '%s\n%s' "$kept" "$line")"
        systemctl daemon-reload
    fi
    mkdir -p "$mount_point"
    if ! mountpoint -q "$mount_point"; then
        mount "$mount_point"
        changed "mounted $mount_point"
    fi
    there=$(findmnt --noheadings --output UUID "$mount_point")
    if [ "$there" != "$uuid" ]; then
        echo "$mount_point is another disk: $there"
        return 1
    fi
}

# What people wrote into the file stays, but for where the data is.
docker_settings() {
    python3 - "$1" "$default_root" <<'PYTHON'
import json, os, sys
wanted_root, default_root = sys.argv[1:]
file = "/etc/docker/daemon.json"
try:
    with open(file) as opened:
        text = opened.read()
    now = json.loads(text or "{}")
except FileNotFoundError:
    text, now = "", {}
except ValueError as error:
    sys.exit(f"{file} is no JSON: {error}")
if not isinstance(now, dict):
    sys.exit(f"{file} is no JSON object")
root = now.get("data-root", default_root)
if wanted_root and os.path.normpath(root) != wanted_root:
    try:
        volumes = [one.name for one in os.scandir(os.path.join(root, "volumes")) if one.is_dir()]
    except FileNotFoundError:
        volumes = []
    if volumes:
        sys.exit(
            f"Docker keeps {len(volumes)} volumes below {root}, and would not find them below {wanted_root}: "
            f"stop docker and docker.socket, and move {root} there first"
        )
    now["data-root"] = wanted_root
now.setdefault("live-restore", True)
# Options of logs belong to their driver: whoever chose another one chose its options, too.
if now.setdefault("log-driver", "json-file") in ("json-file", "local"):
    options = now.setdefault("log-opts", {})
    options.setdefault("max-size", "10m")
    options.setdefault("max-file", "3")
wanted = json.dumps(now, indent=2) + "\n"
if wanted != text:
    os.makedirs("/etc/docker", exist_ok=True)
    with open(file + ".ronron-new", "w") as opened:
        opened.write(wanted)
    os.replace(file + ".ronron-new", file)
    print(f"changed: {file}")
PYTHON
}

docker_engine() {
    root=
    in_use=/etc/ronron/daemon.json.in-use
    if [ -n "$data_serial" ]; then
        root=$mount_point/docker
        mkdir -p "$root"
        chmod 0710 "$root"
        # Without its disk Docker would start empty, and services with it.
        if placed /etc/systemd/system/docker.service.d/ronron.conf "[Unit]
RequiresMountsFor=$mount_point"; then
            systemctl daemon-reload
        fi
    fi
    docker_settings "$root"
    # The package of Debian 13 has the client apart; people and Ronron talk to the engine through it.
    # shellcheck disable=SC2046 # none or one
    install_missing docker.io $(apt-cache --quiet=2 --names-only search '^docker-cli$' | cut -d ' ' -f 1)
    systemctl --quiet enable docker.service
    if ! cmp -s /etc/docker/daemon.json "$in_use" || ! systemctl --quiet is-active docker.service; then
        if ! systemctl restart docker.service; then
            journalctl --no-pager --lines 12 --unit docker.service --output cat || true
            return 1
        fi
        cp /etc/docker/daemon.json "$in_use"
    fi
    if ! id --name --groups "$user" | tr ' ' '\n' | grep -qx docker; then
        usermod --append --groups docker "$user"
        changed "$user is in the group docker"
    fi
}

upgrades() {
    placed /etc/apt/apt.conf.d/60ronron '// Security updates by themselves, daily; Debian chooses which. No restart of the machine.
APT::Periodic::Update-Package-Lists "1";
APT::Periodic::Unattended-Upgrade "1";' || true
}

# A table of our own: `flush ruleset`, as in the configuration that Debian brings, would take Docker's rules
# away, so that service of Debian's is not used. Docker's rules let what containers publish through before
# `input` sees it; `forward` here closes all of that but the ports of the edge. A packet that one table drops
# is gone, whatever another table accepts. Protocols by number (ICMP 1, TCP 6, ICMPv6 58): an image need not
# have their names.
firewall() {
    published=
    for port in $open_ports; do
        published="${published:+$published, }$port"
    done
    in_rule='' forward_rule=''
    if [ -n "$published" ]; then
        in_rule="tcp dport { $published } accept"
        forward_rule="meta l4proto 6 ct original proto-dst { $published } accept"
    fi
    placed /etc/ronron/firewall.nft "table inet ronron
delete table inet ronron
table inet ronron {
    chain input {
        type filter hook input priority filter; policy drop;
        ct state established,related accept
        ct state invalid drop
        iifname \"lo\" accept
        meta l4proto { 1, 58 } accept
        tcp dport $ssh_port accept
        $in_rule
    }
    chain forward {
        type filter hook forward priority filter - 5; policy accept;
        ct state established,related accept
        iifname \"docker0\" accept
        iifname \"br-*\" accept
        $forward_rule
        ct status dnat drop
    }
}" || true
    placed /etc/systemd/system/ronron-firewall.service '[Unit]
Description=Firewall: ssh and the public doors only
DefaultDependencies=no
After=local-fs.target
Before=network-pre.target docker.service
Wants=network-pre.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft --file /etc/ronron/firewall.nft
ExecReload=/usr/sbin/nft --file /etc/ronron/firewall.nft

[Install]
WantedBy=multi-user.target' && systemctl daemon-reload || true
    nft --check --file /etc/ronron/firewall.nft
    systemctl --quiet enable ronron-firewall.service
    # Every time: a run before may have been cut off right here, and all of it changes at once.
    systemctl restart ronron-firewall.service
}

# Keys only. Docker over ssh opens many connections, and many sessions in each.
ssh_server() {
    placed /etc/ssh/sshd_config.d/00-ronron.conf 'PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 100:30:200
MaxSessions 100' || true
    # Proxmox VE has another instance-id for other keys, addresses or resolvers: to cloud-init the next start is
    # a first one then, and it would give the machine new host keys. PVE::QemuServer::Cloudinit (qemu-server).
    if [ -d /etc/cloud/cloud.cfg.d ]; then
        placed /etc/cloud/cloud.cfg.d/99-ronron.cfg 'ssh_deletekeys: false' || true
    fi
    sshd -t
    systemctl try-reload-or-restart ssh.service
    if ! sshd -T | grep -qx 'passwordauthentication no'; then
        echo "sshd still takes passwords: /etc/ssh/sshd_config does not include sshd_config.d, or says otherwise before"
        return 1
    fi
}

guest_agent() {
    # The device is there when the machine has the agent switched on.
    [ -e /dev/virtio-ports/org.qemu.guest_agent.0 ] || return 0
    systemctl --quiet is-active qemu-guest-agent.service || systemctl start qemu-guest-agent.service
}

answers() {
    tries=0
    until docker version --format '{{.Server.Version}}'; do
        tries=$((tries + 1))
        [ "$tries" -lt 30 ] || return 1
        sleep 1
    done
}

main() {
    step "first boot"
    first_boot
    step "packages"
    install_missing apparmor ca-certificates nftables python3 qemu-guest-agent unattended-upgrades
    step "security updates"
    upgrades
    step "ssh server"
    ssh_server
    step "firewall"
    firewall
    if [ -n "$data_serial" ]; then
        step "data disk"
        data_disk
    fi
    step "docker"
    docker_engine
    step "guest agent"
    guest_agent
    step "answer"
    answers
    step "done"
}

# The shell reads this text from its input, and nothing else may.
main </dev/null
