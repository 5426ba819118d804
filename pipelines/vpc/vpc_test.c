/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_vpc.h"

int main(void)
{
	int rc;

	if (vpc_group_setup(NULL) < 0)
		return 1;
	rc = forward_tests() + uplink_tests() + answer_tests() + dhcp_tests() + pmtu_tests() +
	     session_tests() + nat_tests() + nat64_tests() + trace_tests();
	vpc_group_teardown(NULL);
	return rc;
}
