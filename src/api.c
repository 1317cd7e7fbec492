/* SPDX-License-Identifier: MIT
 * The public functions and the tables that name every member. Nothing includes this file. */
#include "pellucid.h"
