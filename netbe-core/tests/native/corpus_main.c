/* SPDX-License-Identifier: BSD-2-Clause */
/* A main() for a fuzz target where there is no libFuzzer: runs it over each file that is named. */
#include <stddef.h>

#include "check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
main(int argc, char **argv)
{
	CHECK(argc > 1);
	for (int i = 1; i < argc; i++) {
		FILE *file = fopen(argv[i], "rb");
		uint8_t *data;
		long size;

		CHECK(file != NULL && fseek(file, 0, SEEK_END) == 0);
		size = ftell(file);
		CHECK(size >= 0 && fseek(file, 0, SEEK_SET) == 0);
		/* As long as the input, so that a sanitizer sees a read behind it. */
		data = malloc(size != 0 ? (size_t)size : 1);
		CHECK(data != NULL && fread(data, 1, (size_t)size, file) == (size_t)size);
		fprintf(stderr, "%s\n", argv[i]);
		LLVMFuzzerTestOneInput(data, (size_t)size);
		free(data);
		fclose(file);
	}
	return 0;
}
