"""The processes of a run on several hosts: joined, compared, watched, and ended with a reason."""

from codex_jax.hosts.agreement import agree as agree
from codex_jax.hosts.agreement import check_shared as check_shared
from codex_jax.hosts.agreement import program_facts as program_facts
from codex_jax.hosts.ending import LOST_STATUS as LOST_STATUS
from codex_jax.hosts.joining import joined as joined
from codex_jax.hosts.peers import Peers as Peers
from codex_jax.hosts.peers import exchange as exchange
from codex_jax.hosts.peers import tell_stop as tell_stop
from codex_jax.hosts.watch import HostLimits as HostLimits
from codex_jax.hosts.watch import Watch as Watch
