#!/bin/sh
# Sets a Debian machine up for Docker. Runs as root and can run again at any time: it does only missing steps.
#
#     sh -s -- USER SSH_PORT DATA_SERIAL OPEN_PORTS
#
# USER joins the group docker. DATA_SERIAL is the serial of the disk for Docker's data, or empty. OPEN_PORTS are
# TCP ports besides that of ssh, separated by spaces. The script neither reads nor prints a secret.
#
# A line "== ronron: STEP" begins each step, so that the caller can name the step that failed. A line
# "changed: ..." reports each change.
set -eu
exec 2>&1
export DEBIAN_FRONTEND=noninteractive LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
umask 022

user=$1 ssh_port=$2 data_serial=$3 open_ports=$4
mount_point=/srv/ronron-data
default_root=/var/lib/docker

step() { echo "== ronron: $1"; }
changed() { echo "changed: $1"; }

# write_file FILE TEXT: writes the file if its content differs; succeeds when it wrote.
write_file() {
    if [ -f "$1" ] && printf '%s\n' "$2" | cmp -s - "$1"; then
        return 1
    fi
    # A call in a condition switches `set -e` off in this function.
    mkdir -p "${1%/*}" || exit 1
    printf '%s\n' "$2" >"$1.ronron-new" || exit 1
    mv "$1.ronron-new" "$1" || exit 1
    changed "$1"
}

first_boot() {
    command -v cloud-init >/dev/null || return 0
    code=0
    # Longer than a slow disk takes, package updates included.
    timeout 900 cloud-init status --wait --long || code=$?
    case $code in
    0 | 2) return 0 ;; # 2: done, with recoverable errors
    124) echo "cloud-init timed out after 15 minutes" ;;
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
    # An earlier run may have been interrupted; a new machine may be updating its package lists.
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

# Formats only an empty disk: no file system, no partitions, no other signature.
data_disk() {
    device=$(data_device)
    if [ -z "$device" ]; then
        echo "no disk has the serial $data_serial"
        return 1
    fi
    signatures=$(wipefs --no-act --noheadings --output TYPE "$device" | tr '\n' ' ')
    parts=$(lsblk --noheadings --list --output TYPE "$device" | tail -n +2 | tr '\n' ' ')
    kind=$(blkid --probe --match-tag TYPE --output value "$device" || true)
    if [ -z "$signatures$parts" ]; then
        mkfs.ext4 -q -m 1 -L ronron-data "$device"
        kind=ext4
        changed "formatted $device"
    fi
    case "$kind/$parts" in
    ext4/ | xfs/ | btrfs/) ;;
    *)
        echo "$device is not empty and was not formatted: $signatures$parts"
        return 1
        ;;
    esac
    uuid=$(blkid --probe --match-tag UUID --output value "$device")
    # Without the disk the machine still boots, after 30 s, so that people can log in; Docker does not start,
    # see below. After the disk grows, a restart of the machine grows the file system.
    line="UUID=$uuid $mount_point $kind defaults,nofail,x-systemd.device-timeout=30s,x-systemd.growfs 0 2"
    if ! grep -qxF "$line" /etc/fstab; then
        others=$(grep -v "[[:space:]]$mount_point[[:space:]]" /etc/fstab || true)
        write_file /etc/fstab "$(printf '%s\n%s' "$others" "$line")"
        systemctl daemon-reload
    fi
    mkdir -p "$mount_point"
    if ! mountpoint -q "$mount_point"; then
        mount "$mount_point"
        changed "mounted $mount_point"
    fi
    mounted=$(findmnt --noheadings --output UUID "$mount_point")
    if [ "$mounted" != "$uuid" ]; then
        echo "$mount_point has another file system mounted: UUID $mounted"
        return 1
    fi
}

# Keeps the other settings of the file.
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
    sys.exit(f"{file} is not valid JSON: {error}")
if not isinstance(now, dict):
    sys.exit(f"{file} is not a JSON object")
root = now.get("data-root", default_root)
if wanted_root and os.path.normpath(root) != wanted_root:
    try:
        volumes = [entry.name for entry in os.scandir(os.path.join(root, "volumes")) if entry.is_dir()]
    except FileNotFoundError:
        volumes = []
    if volumes:
        sys.exit(
            f"Docker has {len(volumes)} volumes below {root} and would not find them below {wanted_root}: "
            f"stop docker and docker.socket, then move {root} to {wanted_root}"
        )
    now["data-root"] = wanted_root
now.setdefault("live-restore", True)
# Log options belong to their driver: another driver keeps its own options.
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
        # Without its disk, Docker would start with no data, and so would the services.
        if write_file /etc/systemd/system/docker.service.d/ronron.conf "[Unit]
RequiresMountsFor=$mount_point"; then
            systemctl daemon-reload
        fi
    fi
    docker_settings "$root"
    # In Debian 13 the client is a separate package; people and Ronron need it.
    # shellcheck disable=SC2046 # zero packages or one
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
    write_file /etc/apt/apt.conf.d/60ronron '// Installs the security updates daily. Does not restart the machine.
APT::Periodic::Update-Package-Lists "1";
APT::Periodic::Unattended-Upgrade "1";' || true
}

# A separate table: Debian's own nftables service runs `flush ruleset`, which would remove Docker's rules, so
# that service is not used. Docker's rules accept packets for published ports before `input` sees them;
# `forward` here drops them except for the ports of the edge. A packet that one table drops stays dropped,
# whatever another table accepts. Protocols are numbers (ICMP 1, TCP 6, ICMPv6 58): an image may lack their
# names.
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
    write_file /etc/ronron/firewall.nft "table inet ronron
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
    write_file /etc/systemd/system/ronron-firewall.service '[Unit]
Description=Firewall: ssh and the public ports only
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
    # Always: an earlier run may have been interrupted here, and nft replaces the table atomically.
    systemctl restart ronron-firewall.service
}

# Only key logins. Docker over ssh opens many connections, with many sessions in each.
ssh_server() {
    write_file /etc/ssh/sshd_config.d/00-ronron.conf 'PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 100:30:200
MaxSessions 100' || true
    # Proxmox VE changes the instance-id when keys, addresses or resolvers change. cloud-init then treats the
    # next boot as a first boot and would create new host keys. Source: PVE::QemuServer::Cloudinit (qemu-server).
    if [ -d /etc/cloud/cloud.cfg.d ]; then
        write_file /etc/cloud/cloud.cfg.d/99-ronron.cfg 'ssh_deletekeys: false' || true
    fi
    sshd -t
    systemctl try-reload-or-restart ssh.service
    if ! sshd -T | grep -qx 'passwordauthentication no'; then
        echo "sshd still accepts passwords: /etc/ssh/sshd_config does not include sshd_config.d, or overrides it"
        return 1
    fi
}

guest_agent() {
    # The device exists when the agent is enabled for the machine.
    [ -e /dev/virtio-ports/org.qemu.guest_agent.0 ] || return 0
    systemctl --quiet is-active qemu-guest-agent.service || systemctl start qemu-guest-agent.service
}

docker_check() {
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
    step "docker check"
    docker_check
    step "done"
}

# The shell reads this script from its standard input, so no command may read from it.
main </dev/null
