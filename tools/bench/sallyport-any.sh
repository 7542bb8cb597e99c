# Sallyport without bindings: a claimed name counts at any address. The difference to sallyport.sh is what they cost.
SALLYPORT_BIND=any
# shellcheck source=tools/bench/sallyport.sh
. "$(dirname "${BASH_SOURCE[0]}")/sallyport.sh"
