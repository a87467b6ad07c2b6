/* Linked to C, C++ and Rust programs; their tests call it last. */
#include <unistd.h>

void codex_jax_done(void)
{
    char token[256];
    ssize_t count = read(0, token, sizeof token);
    if (count > 0 && write(3, token, count) != count)
        _exit(1);
}
