# tshark.sh: what an independent decoder makes of our packets. $root is the folder that it runs from.

tshark_opens() { # tshark_opens CAPTURE KEYS LEAST: it opens every IKE message and ESP packet with the keys in the folder KEYS, at least
  # LEAST ESP packets, and has neither a warning nor a word about malformed ones
  local dir
  dir=$(mktemp -d)
  cp "$1" "$dir/capture"; cp -r "$2" "$dir/keys"
  unshare -m bash -c 'mount --bind "$1" "$0/srv"; WIRESHARK_CONFIG_DIR=/srv/keys exec chroot "${0:-/}" tshark -n -r /srv/capture \
    -o esp.enable_encryption_decode:TRUE -o esp.enable_authentication_check:TRUE -Y "isakmp or esp" -T fields -e frame.number \
    -e isakmp.exchangetype -e isakmp.enc.decrypted -e esp.sequence -e esp.icv_good -e _ws.malformed -e _ws.expert.severity \
    -e _ws.expert.message' "$root" "$dir" >"$dir/fields" 2>"$dir/errors" || { cat "$dir/errors"; rm -rf "$dir"; return 1; }
  awk -F '\t' -v least="$3" '
    function bad(what) { print "packet " $1 ": " what; faults++ }
    $2 != "" { ike++; if ($2 != 34 && $3 == "") bad("IKE message not opened") }
    $4 != "" { esp++; if ($5 != "True" && $5 != "1") bad("ESP not opened") }
    $6 != "" { bad("malformed") }
    { n = split($7, severity, ","); for (i = 1; i <= n; i++) if (severity[i] + 0 >= 6291456) { bad("tshark says: " $8); break } } # a warning
    END {
      printf "tshark: %d IKE messages and %d ESP packets, %s\n", ike, esp, faults ? faults " faults" : "all opened"
      exit !(ike && esp >= least && !faults)
    }' "$dir/fields"
  local rc=$?
  rm -rf "$dir"
  return $rc
}
