/* SPDX-License-Identifier: BSD-3-Clause */
/* Interrupts to a host that does not have our trust: writing an eventfd that it shares with us.
 *
 * Blocking mode belongs to the open file, so the host can clear O_NONBLOCK and fill the counter between two of our
 * instructions, and a plain write would then stop the worker for ever. Here a guard thread looks at every signal under way; one
 * that hangs over two looks is freed by emptying the counter, and the caller is told that this host misbehaves.
 */
#pragma once

#include <stdbool.h>

/* Is 'fd' an eventfd? Any other kind of file is refused as an interrupt. Makes it non-blocking. Context: control. */
bool ob_irq_is_eventfd(int fd);

/* Raises the interrupt: adds 1 to the eventfd. Returns in constant time with a host that behaves, else within 40 ms. 'fd' must stay
 * open during the call. Context: any thread.
 * Returns 0; -EAGAIN the counter is full, so a wake-up is pending anyway; -EDEADLK the host made us block: stop this function;
 * -EBADF 'fd' is not open for writing. */
int ob_irq_signal(int fd);
