/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
#include <linux/types.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include "types.h"

#define PURE static __always_inline

/* Set by the agent between open and load; a change of it is a new generation. */
const volatile struct config config = {};

/* Enums reach the generated layout only if something emitted refers to them. */
const enum frontend_flag *anchor_frontend_flag __attribute__((unused));
const enum node_address_flag *anchor_node_address_flag __attribute__((unused));
const enum source_class *anchor_source_class __attribute__((unused));
const enum wire_flag *anchor_wire_flag __attribute__((unused));
const enum hook *anchor_hook __attribute__((unused));
const enum scheduler *anchor_scheduler __attribute__((unused));
const enum flow_flag *anchor_flow_flag __attribute__((unused));
const enum flow_state *anchor_flow_state __attribute__((unused));
const enum reason *anchor_reason __attribute__((unused));
const enum event_kind *anchor_event_kind __attribute__((unused));

/*
 * Seconds of CLOCK_MONOTONIC. The coarse clock is 10 times cheaper than the exact one, and a tick is close enough: so is
 * a product, 17 ms late and 16 ms more each year, which is cheaper than to divide by 10^9. Good for 17 years of uptime.
 */
PURE __u32 now_seconds(void)
{
	return (bpf_ktime_get_coarse_ns() >> 24) * 576460752 >> 35;
}

/* From a stamp until `now`. One that another CPU wrote after the clock was read here is no time ago. */
PURE __u32 seconds_between(__u32 stamp, __u32 now)
{
	__s32 age = now - stamp;

	return age < 0 ? 0 : age;
}

PURE __u32 seconds_since(__u32 stamp)
{
	return seconds_between(stamp, now_seconds());
}

/*
 * What is not inlined and called from several places is global, so that the verifier looks at it once and not anew for each way to it: from_pod took it
 * 467,000 instructions with static functions, and 30,000 so. The price: a pointer may be NULL, a number is the only result, and on
 * 6.1 what an argument points at is no key and no value of a map, so it is copied to the stack first.
 *
 * For functions without a result. clang leaves in the register of a result that is constant, or that nobody uses, what
 * happens to be there, and the verifier refuses a pointer to the stack: `return done();` and `use(call())`.
 */
PURE int done(void)
{
	int nothing = 0;

	asm volatile("" : "+r"(nothing));
	return nothing;
}

PURE void use(int result)
{
	asm volatile("" : : "r"(result));
}
