/* SPDX-License-Identifier: BSD-3-Clause */
/* Tells the service manager how we are: sd_notify(3) without its library. */
#pragma once

/* 'state': "READY=1", "STOPPING=1". Nothing happens without NOTIFY_SOCKET. */
void notify(const char *state);
