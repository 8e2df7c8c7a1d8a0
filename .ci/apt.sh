# Installs Debian's packages: for scripts that read it with `.`, and are called what they install.

# Ends the script: this machine lacks something.
lacking() {
    echo "$(basename "$0" .sh): $*"
    exit 77
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

apt() { # COMMAND...
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=900 -q "$@"
}

# The version of a package that can be installed; empty where there is none.
candidate() { # PACKAGE
    apt-cache policy "$1" | sed -n 's/^ *Candidate: //p' | grep -v '(none)' || true
}

# Ends the script where nothing can be installed.
require_apt() { # PACKAGE
    command -v apt-get >/dev/null || lacking "no apt-get here; install $1 by hand"
    as_root true 2>/dev/null || lacking "packages can't be installed without root's rights"
}
