/* Linked to C, C++ and Rust programs; their tests call codex_jax_done last. */
#include <fcntl.h>
#include <unistd.h>

static char token[256];
static ssize_t count;

/* Before main, so that a program that reads its standard input finds it empty. */
__attribute__((constructor)) static void codex_jax_start(void)
{
    int null = open("/dev/null", O_RDONLY);
    count = read(0, token, sizeof token);
    if (null >= 0 && dup2(null, 0) == 0)
        close(null);
}

void codex_jax_done(void)
{
    if (count > 0 && write(3, token, count) != count)
        _exit(1);
}
