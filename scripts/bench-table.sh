# shellcheck shell=bash
# What scripts/bench.sh makes of its values: medians, the table, JSON, and the part of docs/performance.md. Source it.

# Metric, what it is called, digits after the point.
METRICS='in|Throughput in, Gb/s|2
out|Throughput out, Gb/s|2
in_server|CPU of the server, in, s/GiB|3
out_server|CPU of the server, out, s/GiB|3
in_system|CPU of the whole machine, in, s/GiB|3
out_system|CPU of the whole machine, out, s/GiB|3
rr1_2_p50|Round trip of 1 B, two CPUs, p50, µs|1
rr1_2_p99|Round trip of 1 B, two CPUs, p99, µs|1
rr1024_2_p50|Round trip of 1 KiB, two CPUs, p50, µs|1
rr1024_2_p99|Round trip of 1 KiB, two CPUs, p99, µs|1
rr1_1_p50|Round trip of 1 B, one CPU, p50, µs|1
rr1_1_p99|Round trip of 1 B, one CPU, p99, µs|1
rr1024_1_p50|Round trip of 1 KiB, one CPU, p50, µs|1
rr1024_1_p99|Round trip of 1 KiB, one CPU, p99, µs|1
crr|Connections per second|0
idle|Memory of an idle connection, bytes|0'

# Something that the reader of the table must know.
note() {
    printf '%s\n' "$1" >>"$WORK/notes"
    say "note: $1"
}

# $1 contender, $2 what was tried, $3 why it failed.
failure() {
    printf '%s\t%s\t%s\n' "$1" "$2" "$(printf '%s' "$3" | tr '\t\n' '  ')" >>"$WORK/failures"
    warn "FAILED: $1, $2: $3"
}

show_failures() {
    printf 'Failed:\n\n'
    awk -F '\t' '{ printf "* %s, %s: %s\n", $1, $2, $3 }' "$WORK/failures" | sort | uniq -c |
        sed 's/^ *1 \*/*/; s/^ *\([0-9]*\) \*\(.*\)/*\2 (\1 times)/'
}

# Facts of the machine and of this run, as name and value.
facts() {
    local model commit load
    model=$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1)
    commit=$(git -C "$ROOT" -c safe.directory="$ROOT" rev-parse --short HEAD 2>/dev/null) || commit=unknown
    [[ -z $(git -C "$ROOT" -c safe.directory="$ROOT" status --porcelain 2>/dev/null) ]] || commit+=", changed"
    # Which commit another binary was built from is not known.
    if [[ ${GLASSTCP_BIN:-} ]]; then commit="GLASSTCP_BIN"; else commit="commit $commit"; fi
    read -r load _ </proc/loadavg
    printf '%s\t%s\n' \
        Date "$(date -u +%Y-%m-%d)" \
        glasstcp "$("$SERVER_BIN" --version | sed 's/^glasstcp //') ($commit)${SERVE:+, serve $SERVE}" \
        CPU "${model:-$(uname -m)}, $(nproc --all) CPUs" \
        Kernel "$(uname -sr)" \
        Rust "$(as_user rustc --version 2>/dev/null | sed 's/^rustc //')" \
        Load "$load before the run, other programs included" \
        Method "$ROUNDS rounds of $SECONDS_EACH s in shuffled order; client on CPU $CLIENT_CPU, server on CPU $SERVER_CPU; $IDLE idle connections"
}

# Contender, metric, median, least, greatest, count: one line each.
medians() {
    sort -t $'\t' -k1,1 -k2,2 -k3,3g "$WORK/values" | awk -F '\t' '
        function flush() {
            if (n == 0) return
            median = n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
            printf "%s\t%s\t%s\t%s\t%s\t%d\n", name, metric, median, v[1], v[n], n
        }
        $1 != name || $2 != metric { flush(); name = $1; metric = $2; n = 0 }
        { v[++n] = $3 }
        END { flush() }'
}

# The table in Markdown: `median (least-greatest) ratio to kernel-veth`.
table() {
    awk -F '\t' -v contenders="${CONTENDERS[*]}" -v metrics="$METRICS" '
        FILENAME ~ /medians$/ { median[$1, $2] = $3; least[$1, $2] = $4; most[$1, $2] = $5 }
        FILENAME ~ /failures$/ { failed[$1] = 1 }
        END {
            count = split(contenders, name, " ")
            line = "| |"; rule = "|---|"
            for (i = 1; i <= count; i++) { line = line " " name[i] " |"; rule = rule "---:|" }
            print line; print rule
            rows = split(metrics, row, "\n")
            for (r = 1; r <= rows; r++) {
                split(row[r], part, "|")
                line = "| " part[2] " |"
                for (i = 1; i <= count; i++) line = line " " cell(name[i], part[1], part[3]) " |"
                print line
            }
        }
        function cell(name, metric, digits,   form, text, base) {
            if (metric == "idle" && name ~ /^smoltcp/) return "n/a"
            # Where nothing was measured there is no figure; a failure says so and is listed below.
            if (!((name, metric) in median)) return name in failed ? "failed" : "n/a"
            form = "%." digits "f"
            text = sprintf(form " (" form "–" form ")", median[name, metric], least[name, metric], most[name, metric])
            base = median["kernel-veth", metric]
            if (base > 0) text = text sprintf(" ×%.2f", median[name, metric] / base)
            return text
        }' "$WORK/medians" "$WORK/failures"
}

# Facts, table, notes and failures.
page() {
    awk -F '\t' '{ printf "%s* %s: %s\n", "", $1, $2 }' "$WORK/facts"
    printf '\n'
    table
    if [[ -s $WORK/notes ]]; then printf '\n' && sed 's/^/* Note: /' "$WORK/notes" | sort -u; fi
    if [[ -s $WORK/failures ]]; then printf '\n' && show_failures; fi
}

json() {
    awk -F '\t' '
        function quoted(text) { gsub(/\\/, "\\\\", text); gsub(/"/, "\\\"", text); return "\"" text "\"" }
        FILENAME ~ /facts$/ { facts = facts (facts ? ", " : "") quoted($1) ": " quoted($2) }
        FILENAME ~ /notes$/ { notes = notes (notes ? ", " : "") quoted($0) }
        FILENAME ~ /failures$/ {
            failures = failures (failures ? ",\n  " : "\n  ") \
                "{\"contender\": " quoted($1) ", \"test\": " quoted($2) ", \"reason\": " quoted($3) "}"
        }
        FILENAME ~ /medians$/ {
            values = values (values ? ",\n  " : "\n  ") "{\"contender\": " quoted($1) ", \"metric\": " quoted($2) \
                ", \"median\": " $3 ", \"min\": " $4 ", \"max\": " $5 ", \"rounds\": " $6 "}"
        }
        END {
            printf "{\"facts\": {%s},\n \"notes\": [%s],\n \"failures\": [%s],\n \"values\": [%s]}\n",
                facts, notes, failures, values
        }' "$WORK/facts" "$WORK/notes" "$WORK/failures" "$WORK/medians"
}

# Puts the text of file $2 between the markers of file $1.
replace_between_markers() {
    local file=$1 begin='<!-- bench: begin -->' end='<!-- bench: end -->' new
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
    medians >"$WORK/medians"
    page >"$WORK/page"
    as_user tee "$RESULTS/table.md" <"$WORK/page" >/dev/null
    json | as_user tee "$RESULTS/result.json" >/dev/null
    printf '\n'
    cat "$WORK/page"
    say "written: $RESULTS/table.md and $RESULTS/result.json"
    [[ $WRITE_DOCS -eq 0 ]] || replace_between_markers "$ROOT/docs/performance.md" "$WORK/page"
}
