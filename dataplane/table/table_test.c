/* SPDX-License-Identifier: BSD-3-Clause */
#include "table_test.h"

int main(void)
{
	return map_tests() + lpm_tests();
}
