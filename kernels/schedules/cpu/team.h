// How the threads of a pass share its work: each has whole sequences, or each has some units of all sequences. Threads that share units meet
// at a barrier once a stage of a step. `generate_source` inserts this file after checksum.h.

#include <sched.h>
#include <time.h>

struct Units { int64_t from, to; };

static int64_t read_clock() {  // ns
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * int64_t(1000000000) + now.tv_nsec;
}

// ns for which one thread goes on alone after a long wait: a thread that loses its core once is back soon, one beside a busy process isn't.
// A pause that begins sooner after the last one than that was long is twice as long, any other one half as long.
constexpr int64_t MIN_PAUSE = 30000000, MAX_PAUSE = 1000000000;
static int64_t alone_until = 0, pause = 0;  // of all passes of this library

static void begin_pause() {
    const int64_t now = read_clock(), last = __atomic_load_n(&pause, __ATOMIC_RELAXED);
    int64_t next = now - __atomic_load_n(&alone_until, __ATOMIC_RELAXED) < last ? 2 * last : last / 2;
    next = next < MIN_PAUSE ? MIN_PAUSE : next < MAX_PAUSE ? next : MAX_PAUSE;
    __atomic_store_n(&pause, next, __ATOMIC_RELAXED);
    __atomic_store_n(&alone_until, now + next, __ATOMIC_RELAXED);
}

// A barrier that spins: a step takes microseconds. A thread that has waited for longer than `patience` ns waits for one that has no core, and
// lets others have its own. If it has done so for longer than `allowance` ns in all meetings, the pass goes on `alone`, with thread 0: all
// threads learn so at the same meeting, from the one that came last.
struct Barrier {
    alignas(64) int64_t arrived = 0;
    alignas(64) int64_t meetings = 0;
    bool late = false, alone = false;

    void wait(int64_t count, int64_t patience, int64_t& allowance) {
        const int64_t now = __atomic_load_n(&meetings, __ATOMIC_RELAXED);
        if (__atomic_add_fetch(&arrived, 1, __ATOMIC_ACQ_REL) == count) {
            __atomic_store_n(&arrived, 0, __ATOMIC_RELAXED);
            if (__atomic_load_n(&late, __ATOMIC_RELAXED)) {
                __atomic_store_n(&alone, true, __ATOMIC_RELAXED);
                begin_pause();
            }
            __atomic_store_n(&meetings, now + 1, __ATOMIC_RELEASE);  // all that the threads have written is seen by those that go on
            return;
        }
        int64_t begin = 0, over = 0;
        for (int64_t spins = 1; __atomic_load_n(&meetings, __ATOMIC_ACQUIRE) == now; spins++) {
            if (spins % 256) {
#ifdef __x86_64__
                __builtin_ia32_pause();
#endif
                continue;
            }
            const int64_t time = read_clock();
            if (!begin) begin = time;
            over = time - begin - patience;
            if (over <= 0) continue;
            if (over > allowance) __atomic_store_n(&late, true, __ATOMIC_RELAXED);
            sched_yield();
        }
        if (over > 0) allowance -= over;
    }
};

// A thread's share: the blocks of sequences [block, last_block) and the units `units`.
//
// unit_starts: (threads + 1): the first unit of each thread, and H; null if threads share the blocks.
struct Team {
    Barrier& barrier;
    const int64_t H, patience;
    int64_t allowance;
    const bool shares_units;
    int64_t count, me = omp_get_thread_num(), block, last_block;  // count: of those that meet
    Units units;

    Team(Barrier& barrier, int64_t H, int64_t patience, int64_t allowance, const int64_t* unit_starts, int64_t threads, int64_t blocks)
        : barrier(barrier), H(H), patience(patience), allowance(allowance), shares_units(unit_starts), count(omp_get_num_threads()), units{0, H} {
        block = me * blocks / count, last_block = (me + 1) * blocks / count;
        if (!shares_units || count != threads) count = 1;  // a region inside another one has one thread
        else units = {unit_starts[me], unit_starts[me + 1]};
        if (shares_units) block = 0, last_block = me < count;
    }
    void wait() {
        if (count > 1) barrier.wait(count, patience, allowance);
    }
    // Whether the thread goes on after a meeting; thread 0 with all units if it is alone from now on, which `alone` is called for.
    template <class Alone> bool goes_on(Alone alone) {
        if (count == 1 || !__atomic_load_n(&barrier.alone, __ATOMIC_RELAXED)) return true;
        if (me) return false;
        count = 1, units = {0, H};
        alone();
        return true;
    }
};
