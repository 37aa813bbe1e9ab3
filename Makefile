# The project's commands. Each installs the packages it needs, or says which are missing.
.NOTPARALLEL:
.PHONY: help demo install test bench format check clean

PREFIX ?= /usr/local

help:
	@echo "make demo      start the echo server, talk to it, stop it"
	@echo "make install   build for use and install to PREFIX (/usr/local), below DESTDIR"
	@echo "make test      build and test, without and with AddressSanitizer and UBSan"
	@echo "make bench     build the benchmarks and run them"
	@echo "make format    rewrite the C files in the house style"
	@echo "make check     all gates (.ci/run); at most 15 minutes"
	@echo "make clean     remove build/"

demo:
	@.ci/install-packages build
	@.ci/build release
	@.ci/demo

install:
	@.ci/install-packages build
	@cmake -S . -B build/install -D CMAKE_BUILD_TYPE=Release -D NETPOLL_BUILD_TESTS=OFF \
		-D CMAKE_C_FLAGS_RELEASE="-O2 -DNDEBUG -flto=auto -ffat-lto-objects"
	@cmake --build build/install -j "$$(nproc)"
	@cmake --install build/install --prefix "$(PREFIX)"

test:
	@.ci/install-packages build test
	@.ci/test dev asan

bench:
	@.ci/install-packages build bench
	@.ci/build release
	@bench/run

format:
	@.ci/install-packages check
	@.ci/format -i

check:
	@.ci/run

clean:
	rm -rf build
