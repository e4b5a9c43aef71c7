/*
 * See guard.h. What a failed call had on its stack is dropped, as by longjmp().
 */
#include "arch/x86_64/guard.h"

#include "arch/x86_64/clockevent.h"
#include "arch/x86_64/cpu.h"
#include "sched/clock.h"

/* A tick in such code is not the scheduler's, which wants one soon after. */
#define SOON_NS NSEC_PER_MSEC

extern uint64_t guard_stack; /* guard_call.S; 0: no call is under way */
extern char guard_way_out[];
struct guard_result guard_enter(const void *fn, uint64_t a, uint64_t b, uint64_t c, uint64_t d);

struct guard_failure guard_failure;
static struct guard now;
static uint64_t deadline;

struct guard_result guard_call(const struct guard *g, const void *fn, uint64_t a, uint64_t b,
                               uint64_t c, uint64_t d)
{
    assert(guard_stack == 0);
    now = *g;
    deadline = clock_mono_ns() + g->limit;
    clockevent_request(deadline);
    return guard_enter(fn, a, b, c, d);
}

static bool inside(const struct trap_frame *f)
{
    return guard_stack != 0 && f->rip >= now.start && f->rip < now.end;
}

static void lead_out(struct trap_frame *f, uint64_t vector, uint64_t address)
{
    guard_failure = (struct guard_failure){vector, f->rip, address};
    f->rip = (uint64_t)guard_way_out;
    f->rsp = guard_stack;
    f->rflags &= ~(uint64_t)(RFLAGS_IF | RFLAGS_TF | RFLAGS_DF | RFLAGS_AC);
}

bool guard_caught(struct trap_frame *f)
{
    if (!inside(f))
        return false;
    lead_out(f, f->vector, READ_CR(2));
    return true;
}

void guard_tick(struct trap_frame *f)
{
    if (!inside(f))
        return;
    clockevent_request(clock_mono_ns() + SOON_NS);
    if (clock_mono_ns() >= deadline)
        lead_out(f, GUARD_EXPIRED, 0);
}
