# shellcheck shell=bash
# What scripts/recovery.sh makes of its results: the tables and the part of docs/recovery.md. Source it.

# Something that the reader of the tables must know.
note() {
    printf '%s\n' "$1" >>"$WORK/notes"
    say "note: $1"
}

# $1 cell, $2 what was tried, $3 why it failed.
failure() {
    printf '%s\t%s\t%s\n' "$1" "$2" "$(printf '%s' "$3" | tr '\t\n' '  ')" >>"$WORK/failures"
    warn "FAILED: $1, $2: $3"
}

# Facts of the machine and of this run, as name and value.
facts() {
    local model commit
    model=$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1)
    commit=$(git -C "$ROOT" -c safe.directory="$ROOT" rev-parse --short HEAD 2>/dev/null) || commit=unknown
    [[ -z $(git -C "$ROOT" -c safe.directory="$ROOT" status --porcelain 2>/dev/null) ]] || commit+=", changed"
    [[ ! ${GLASSTCP_BIN:-} ]] || commit="GLASSTCP_BIN"
    printf '%s\t%s\n' \
        Date "$(date -u +%Y-%m-%d)" \
        glasstcp "$("$BIN" --version | sed 's/^glasstcp //') ($commit)" \
        CPU "${model:-$(uname -m)}, $(nproc --all) CPUs" \
        Kernel "$(uname -sr)" \
        Method "$REPEATS repeats of $SECONDS_EACH s, $RATE, queue of one bandwidth-delay product"
}

# All results: cell, controller, stack, goodput, segments, sent again, for nothing.
values() {
    local file name controller stack repeat rest
    for file in "$RESULTS"/*; do
        [[ -s $file ]] || continue
        name=${file##*/}
        repeat=${name##*.} rest=${name%.*}
        stack=${rest##*.} rest=${rest%.*}
        controller=${rest##*.} name=${rest%.*}
        [[ $repeat -le $REPEATS && $stack != shared ]] || continue
        printf '%s\t%s\t%s\t%s\n' "$name" "$controller" "$stack" "$(<"$file")"
    done
}

# The table of one controller in Markdown: medians over the repeats.
controller_table() {
    { cells | sed 's/ .*//; s/^/cell\t/' && sort -t $'\t' -k1,3 -k4,4g "$WORK/values"; } |
        awk -F '\t' -v controller="$1" '
        $1 == "cell" { order[++cells] = $2; next }
        $2 == controller {
            key = $1 SUBSEP $3
            n = ++count[key]
            rate[key, n] = $4; again[key, n] = $5 > 0 ? $6 / $5 * 100 : 0; nothing[key, n] = $7; seen[$1] = 1
        }
        function median(list, key,   n, i, j, v, t) {
            n = count[key]
            if (n == 0) return -1
            for (i = 1; i <= n; i++) v[i] = list[key, i]
            for (i = 2; i <= n; i++) for (j = i; j > 1 && v[j - 1] + 0 > v[j] + 0; j--) { t = v[j]; v[j] = v[j - 1]; v[j - 1] = t }
            return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
        }
        function shown(value, form) { return value < 0 ? "n/a" : sprintf(form, value) }
        END {
            print "| cell | ours, Mb/s | kernel, Mb/s | ratio | ours: sent again, % | kernel | ours: for nothing | kernel |"
            print "|---|---:|---:|---:|---:|---:|---:|---:|"
            for (i = 1; i <= cells; i++) {
                cell = order[i]
                if (!(cell in seen)) continue
                ours = cell SUBSEP "ours"; kernel = cell SUBSEP "kernel"
                a = median(rate, ours); b = median(rate, kernel)
                ratio = a >= 0 && b > 0 ? sprintf("%.2f", a / b) : "n/a"
                if (ratio != "n/a" && a / b < 0.95) ratio = "**" ratio "**"
                printf "| %s | %s | %s | %s | %s | %s | %s | %s |\n", cell, shown(a < 0 ? a : a / 1e6, "%.2f"),
                    shown(b < 0 ? b : b / 1e6, "%.2f"), ratio, shown(median(again, ours), "%.2f"),
                    shown(median(again, kernel), "%.2f"), shown(median(nothing, ours), "%d"),
                    shown(median(nothing, kernel), "%d")
            }
        }'
}

# Flows that share the path.
fairness_table() {
    local file name any=0
    for file in "$RESULTS"/fair-*.shared.1; do
        [[ -s $file ]] || continue
        if [[ $any -eq 0 ]]; then
            printf '| flows | first, Mb/s | second, Mb/s | Jain |\n|---|---:|---:|---:|\n'
            any=1
        fi
        name=${file##*/}
        name=${name%.shared.1}
        awk -v name="${name#fair-}" '{ s = ($1 + $2) ^ 2; q = 2 * ($1 ^ 2 + $2 ^ 2)
            printf "| %s | %.2f | %.2f | %.3f |\n", name, $1 / 1e6, $2 / 1e6, (q > 0 ? s / q : 0) }' "$file"
    done
}

page() {
    local controller
    awk -F '\t' '{ printf "* %s: %s\n", $1, $2 }' "$WORK/facts"
    if [[ -s $WORK/notes ]]; then sort -u "$WORK/notes" | sed 's/^/* Note: /'; fi
    values >"$WORK/values"
    for controller in "${CHOSEN_CONTROLLERS[@]}"; do
        printf '\n### %s\n\n' "$controller"
        controller_table "$controller"
    done
    fairness_table >"$WORK/fairness"
    if [[ -s $WORK/fairness ]]; then printf '\n### Two flows share the path\n\n' && cat "$WORK/fairness"; fi
    if [[ -s $WORK/smoltcp ]]; then printf '\n### Beside smoltcp, in the simulator\n\n' && cat "$WORK/smoltcp"; fi
    if [[ -s $WORK/failures ]]; then
        printf '\nFailed:\n\n'
        awk -F '\t' '{ printf "* %s, %s: %s\n", $1, $2, $3 }' "$WORK/failures" | sort -u
    fi
}

# Puts the text of file $2 between the markers of file $1.
replace_between_markers() {
    local file=$1 begin='<!-- recovery: begin -->' end='<!-- recovery: end -->' new
    [[ $(grep -cxF -e "$begin" -e "$end" "$file") -eq 2 ]] || die "$file: no lines '$begin' and '$end'"
    new=$(mktemp)
    awk -v begin="$begin" -v end="$end" -v text="$2" '
        $0 == end { inside = 0 }
        !inside { print }
        $0 == begin { inside = 1; print ""; while ((getline line < text) > 0) print line; print "" }' "$file" >"$new"
    cat "$new" >"$file"
    rm -f "$new"
}

report() {
    page >"$WORK/page"
    as_user tee "$TABLES/table.md" <"$WORK/page" >/dev/null
    printf '\n'
    cat "$WORK/page"
    say "written: $TABLES/table.md"
    [[ $WRITE_DOCS -eq 0 ]] || replace_between_markers "$ROOT/docs/recovery.md" "$WORK/page"
}
