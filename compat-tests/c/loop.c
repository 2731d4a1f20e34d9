/* Machines that come and go: no thread, file descriptor or memory stays behind. */
#define _POSIX_C_SOURCE 200809L
#include "check.h"

#include <dirent.h>
#include <unistd.h>

/* Entries of a directory of /proc. */
static int entries(const char *path)
{
    int count = 0;
    DIR *directory = opendir(path);
    CHECK(directory != NULL);
    while (readdir(directory) != NULL) {
        count++;
    }
    closedir(directory);
    return count;
}

/* Resident memory in KiB. */
static long resident(void)
{
    long pages = 0, all = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file != NULL && fscanf(file, "%ld %ld", &all, &pages) == 2);
    fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void live(const char *directory, int port, const rsl_callbacks *table, const rsl_spawn *threads)
{
    static app self;
    memset(&self, 0, sizeof self);
    SAME(rsl_machine_create(table, &self, &self.machine), RSL_OK);
    rsl_config config = app_config(directory);
    rsl_node node = app_node("1", port);
    /* An address of its own: between two lives nobody else takes the port. */
    const unsigned char address[4] = {127, 0, 0, 2};
    memcpy(&node.ip, address, 4);
    rsl_member_view view = app_view(&node, 1);
    SAME(rsl_machine_initialize(self.machine, &config, &view, &node, 6, 0, threads, 1), RSL_OK);
    WAIT_FOR(atomic_load(&self.recovered) == 1);
    for (int i = 0; i < 20; i++) {
        SAME(rsl_machine_replicate(self.machine, "\1", 1, NULL, 0), RSL_OK);
    }
    WAIT_FOR(atomic_load(&self.executed) >= 20);
    SAME(rsl_machine_unload(self.machine), RSL_OK);
    rsl_machine_destroy(self.machine);
}

int main(int count, char **words)
{
    CHECK(count == 3);
    rsl_init_params params;
    memset(&params, 0, sizeof params);
    params.struct_size = sizeof params;
    SAME(rsl_init(&params), RSL_OK);
    rsl_callbacks table = app_callbacks();
    rsl_spawn threads = app_threads();
    const int port = atoi(words[2]);
    /* What is made once and kept is there after these. */
    for (int i = 0; i < 3; i++) {
        live(words[1], port, &table, &threads);
    }
    /* Threads of the application may still be on their way out: one is left, beside the two dots. */
    WAIT_FOR(entries("/proc/self/task") <= 3);
    const long memory = resident();
    const int files = entries("/proc/self/fd");
    for (int i = 0; i < 40; i++) {
        live(words[1], port, &table, &threads);
    }
    for (int i = 0; i < 2000; i++) {
        rsl_machine *machine = NULL;
        SAME(rsl_machine_create(&table, NULL, &machine), RSL_OK);
        rsl_machine_destroy(machine);
    }
    WAIT_FOR(entries("/proc/self/task") <= 3);
    SAME(entries("/proc/self/fd"), files);
    fprintf(stderr, "resident: %ld KiB, %ld KiB more after the loops\n", memory, resident() - memory);
#ifndef __SANITIZE_ADDRESS__
    /* Sanitizers and Valgrind keep what was freed, and look for leaks themselves. */
    CHECK(getenv("RSL_TEST_RUNNER") != NULL || resident() - memory < 2048);
#endif
    puts("done");
    return 0;
}
