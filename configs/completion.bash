# SPDX-License-Identifier: GPL-2.0-only
# Completion of xdplb for bash: verbs, options, interfaces, files, names of services.

_xdplb_interfaces() {
    local path
    for path in /sys/class/net/*; do
        printf '%s\n' "${path##*/}"
    done
}

# What the running daemon serves; nothing where none runs.
_xdplb_services() {
    xdplb flows --json 2>/dev/null | sed -n 's/.*"service":"\([^"]*\)".*/\1/p' | sort -u
}

_xdplb() {
    local verbs='run attach detach stop reload check status flows version help'
    local every='--run-dir --bpffs --help'
    local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local verb='' skip='' i options

    for ((i = 1; i < COMP_CWORD; i++)); do
        if [[ -n $skip ]]; then
            skip=''
            continue
        fi
        case ${COMP_WORDS[i]} in
        --run-dir | --bpffs | --config | -c | --mode | --service | --backend | --client) skip=1 ;;
        -*) ;;
        *)
            verb=${COMP_WORDS[i]}
            break
            ;;
        esac
    done

    COMPREPLY=()
    case $previous in
    --run-dir | --bpffs)
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -d -- "$word")
        return
        ;;
    -c | --config)
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        return
        ;;
    --mode)
        mapfile -t COMPREPLY < <(compgen -W 'auto native generic' -- "$word")
        return
        ;;
    --service)
        mapfile -t COMPREPLY < <(compgen -W "$(_xdplb_services)" -- "$word")
        return
        ;;
    --backend | --client) return ;;
    esac

    case $verb in
    '') options="$verbs $every --version" ;;
    run) options="--config $every --verbose" ;;
    attach) options="$(_xdplb_interfaces) --config --mode $every" ;;
    detach) options="$(_xdplb_interfaces) --all $every" ;;
    status) options="--json $every" ;;
    flows) options="--json --service --backend --client $every" ;;
    help) options=$verbs ;;
    check)
        if [[ $word != -* ]]; then
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -f -- "$word")
            return
        fi
        options=$every
        ;;
    *) options=$every ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
}

complete -F _xdplb xdplb
