#!/usr/bin/env bash
# Ends with 0 when http://127.0.0.1:$1/health answers 200. For container health checks: the image has no HTTP client.
set -euo pipefail
exec 3<>"/dev/tcp/127.0.0.1/${1:?usage: http-health.sh PORT}"
printf 'GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
read -r -t 5 _ status _ <&3
[ "$status" = 200 ]
