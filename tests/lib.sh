# What the scripts here share; sourced, with the working directory at the root of the repository.
#
# Tools that are no part of the project live in ${SIGBOX_TOOLS:-~/.cache/sigbox-tools}, one folder per version, and are
# built once.

export SIGBOX_TOOLS=${SIGBOX_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/sigbox-tools}

say() { printf '\n== %d:%02d %s\n' $((SECONDS / 60)) $((SECONDS % 60)) "$*" >&2; } # minutes since the start

# A finished tool appears under its final name in one rename, so an interrupted install is not taken for one. Go names a
# program after the last folder of its path; it gets the name it is called by here.
go_tool() { # name, module path, version
    local dest=$SIGBOX_TOOLS/$1-$3/$1 tmp
    if [ ! -x "$dest" ]; then
        say "building $1 $3 (once)"
        mkdir -p "$SIGBOX_TOOLS"
        tmp=$(mktemp -d "$SIGBOX_TOOLS/.$1.XXXXXX")
        GOBIN=$tmp GOFLAGS=-mod=mod go install "$2@v$3"
        [ -x "$tmp/$1" ] || mv "$tmp/${2##*/}" "$tmp/$1"
        rm -rf "${dest%/*}" && mv "$tmp" "${dest%/*}"
    fi
    ln -sfn "${dest%/*}/$1" "$SIGBOX_TOOLS/$1"
}
