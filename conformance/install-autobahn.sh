#!/bin/sh
# Installs Autobahn|Testsuite 25.10.1 without docker: CPython 2.7 (with its pip), python3's pip, 16 pinned packages.
#
#   conformance/install-autobahn.sh [DIR]     default: ${WIRELET_CACHE:-$HOME/.cache/wirelet}/autobahn
#
# Makes DIR/wstest (the test suite) and DIR/cases (prints the number of every case). A folder that is already
# complete is left alone. Everything is made in a temporary folder that takes its place at the end, so that an
# interrupted installation leaves nothing behind. PY2=/path/to/python2.7 names the interpreter. wss:// and WAMP are cut out.
set -eu

dir=${1:-${WIRELET_CACHE:-$HOME/.cache/wirelet}/autobahn}

py2=${PY2:-}
if [ -z "$py2" ]; then
    for candidate in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/2.7.*/bin/python2.7 "$(command -v python2.7 || true)"; do
        if [ -x "$candidate" ] && "$candidate" -m pip --version >/dev/null 2>&1; then py2=$candidate; fi
    done
fi
if [ -z "$py2" ]; then
    echo "install-autobahn: no python 2.7 with pip found: Autobahn|Testsuite runs on nothing newer." >&2
    echo "Install one (for example 'pyenv install 2.7.18') or name it: PY2=/path/to/python2.7" >&2
    exit 3
fi
stamp="$(cksum < "$0") $py2" # a changed recipe installs anew
if [ "$(cat "$dir/complete" 2>/dev/null)" = "$stamp" ]; then exit 0; fi

# cp27mu wheels
"$py2" -c 'import sys; assert sys.maxunicode > 65535, "a python 2.7 built with --enable-unicode=ucs4 is needed"'
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_NO_INPUT=1 PYTHONWARNINGS=ignore
mkdir -p "$(dirname "$dir")"
new=$(mktemp -d "$dir.XXXXXX")
trap 'rm -rf "$new"' EXIT
trap 'exit 130' INT TERM HUP

# These exist as source only. wsaccel (masking and UTF-8 check in C, needs gcc) is for speed: all works without it.
# First, since it would replace lib/twisted by autobahn's plugin.
"$py2" -m pip install --quiet --upgrade --no-deps --no-compile --no-build-isolation --no-use-pep517 --target "$new/lib" \
    autobahn==0.10.9 txaio==2.1.0 wsaccel==0.6.2
# The wheels come with python3's pip: Python 2's reads the large index pages minutes long.
# --no-deps leaves out what only wss://, WAMP and the packages' own tests use: pyOpenSSL, cryptography, cffi, pycparser,
# enum34, ipaddress, service-identity, pyasn1, pyasn1-modules, klein, Werkzeug, ujson, unittest2, PyHamcrest, typing.
python3 -m pip install --quiet --upgrade --no-deps --no-compile --ignore-requires-python --target "$new/lib" \
    --only-binary=:all: --python-version 2.7 --implementation cp --abi cp27mu --platform manylinux1_x86_64 \
    autobahntestsuite==25.10.1 setuptools==44.0.0 six==1.16.0 Twisted==19.10.0 zope.interface==4.6.0 \
    constantly==15.1.0 incremental==16.10.1 Automat==22.10.0 hyperlink==19.0.0 idna==2.10 attrs==21.4.0 \
    Jinja2==2.11.3 MarkupSafe==1.1.1

# replace FILE EXPRESSION: a substitution that must change something
replace() {
    cp "$new/lib/autobahntestsuite/$1" "$new/before"
    sed -i "$2" "$new/lib/autobahntestsuite/$1"
    if cmp -s "$new/before" "$new/lib/autobahntestsuite/$1"; then echo "install-autobahn: $1 is not as expected" >&2; exit 1; fi
    rm "$new/before"
}
# Drops the imports of OpenSSL (only for wss://) and of the WAMP serializer mode (needs unittest2).
replace fuzzing.py 's/^from twisted.internet import reactor, ssl/from twisted.internet import reactor\nclass ssl: ClientContextFactory = dict/'
replace wstest.py 's/^import serializer/serializer = None/'
# A case gives up on a silent peer after one second, which says more about a busy machine than about the peer. None of
# the cases waits for that moment when the peer is right, so a longer patience changes no verdict and costs no time.
replace fuzzing.py 's/reactor.callLater(delay, self.executeKillAfter)/reactor.callLater(delay * float(os.environ.get("AUTOBAHN_PATIENCE", "1")), self.executeKillAfter)/'
# In the same way, the time in which a long case has to finish (from 10 seconds up) allows for slow machines. Shorter
# times are waited for by cases in which nothing is to come, and stay.
replace fuzzing.py 's/reactor.callLater(delay, self.executeCloseAfter)/reactor.callLater(delay * (float(os.environ.get("AUTOBAHN_PATIENCE", "1")) if delay >= 10 else 1), self.executeCloseAfter)/'
# The fuzzing server listens on this machine alone.
replace fuzzing.py 's/listenWS(factory, sslContext)/listenWS(factory, sslContext, interface = "127.0.0.1")/'

# addsitedir, not PYTHONPATH: zope is a namespace package, made by a .pth file.
cat > "$new/start.py" <<'END'
import os, site, sys
here = os.path.dirname(os.path.abspath(__file__))
count = len(sys.path)
site.addsitedir(os.path.join(here, "lib"))
sys.path[:] = sys.path[count:] + [p for p in sys.path[:count] if p != here]
sys.argv = sys.argv[1:]
if sys.argv[0] == "wstest":
    from autobahntestsuite.wstest import run
    run()
else:
    from autobahntestsuite.case import Cases
    for case in Cases:
        print(case.__name__[len("Case"):].replace("_", "."))
END
for name in wstest cases; do
    printf '#!/bin/sh\nexec "%s" -s -u -B "$(dirname "$0")/start.py" %s "$@"\n' "$py2" "$name" > "$new/$name"
    chmod +x "$new/$name"
done
# Compiled once here (and never later: -B), so that processes started together do not write the same files.
"$py2" -m compileall -q -d lib "$new/lib" >/dev/null 2>&1 || true
"$new/wstest" --help >/dev/null
"$new/cases" >/dev/null
printf '%s\n' "$stamp" > "$new/complete"

chmod 755 "$new"
if [ -e "$dir" ]; then mv "$dir" "$new.old"; fi
mv "$new" "$dir"
rm -rf "$new.old"
echo "Autobahn|Testsuite installed in $dir"
