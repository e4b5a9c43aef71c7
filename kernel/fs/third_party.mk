# The decompressors for the initial root: zlib's inflate and zstd's decoder, from the Debian
# source packages in third_party/SOURCES, compiled like the kernel but for warnings, size and unwind tables.
ZLIB_DIR := $(B)/src/zlib
ZSTD_DIR := $(B)/src/zstd
ZLIB_C   := inflate inftrees inffast crc32 adler32
ZSTD_C   := common/entropy_common common/error_private common/fse_decompress \
	common/zstd_common common/xxhash decompress/huf_decompress decompress/zstd_ddict \
	decompress/zstd_decompress decompress/zstd_decompress_block
ZLIB_OBJ := $(ZLIB_C:%=$(B)/third_party/zlib/%.o)
ZSTD_OBJ := $(ZSTD_C:%=$(B)/third_party/zstd/%.o)

# Tables are made when first needed, error texts left out: the image is small, boots are short.
ZLIB_FLAGS := -DDYNAMIC_CRC_TABLE -D__STDC_NO_ATOMICS__ -DNO_FSEEKO
ZSTD_FLAGS := -DZSTD_DISABLE_ASM=1 -DDYNAMIC_BMI2=0 -DZSTD_LEGACY_SUPPORT=0 -DZSTD_TRACE=0 \
	-DZSTD_STRIP_ERROR_STRINGS=1 -DZSTD_NO_INTRINSICS=1 -DXXH_NAMESPACE=ZSTD_ \
	-DHUF_FORCE_DECOMPRESS_X1=1 -DZSTD_FORCE_DECOMPRESS_SEQUENCES_SHORT=1 -DZSTD_NO_INLINE=1 \
	-DNDEBUG

ZSTD_USER_FLAGS := -isystem $(ZSTD_DIR)/lib
ZLIB_USER_FLAGS := -isystem $(ZLIB_DIR) -isystem kernel/lib/compat
KCFLAGS_fs/decompress := $(ZSTD_USER_FLAGS) $(ZLIB_USER_FLAGS)
KCFLAGS_decompress    := $(ZSTD_USER_FLAGS) $(ZLIB_USER_FLAGS)

$(B)/src/%/.fetched: third_party/SOURCES scripts/fetch-src
	@mkdir -p $(B)/src
	@echo "  SRC $*"
	@scripts/fetch-src $* $(B)/src/$*
	@touch $@

# No recipes: the sources appear with the stamp.
$(ZLIB_C:%=$(ZLIB_DIR)/%.c): $(ZLIB_DIR)/.fetched ;
$(ZSTD_C:%=$(ZSTD_DIR)/lib/%.c): $(ZSTD_DIR)/.fetched ;
$(B)/kernel/fs/decompress.o: | $(ZLIB_DIR)/.fetched $(ZSTD_DIR)/.fetched

THIRD_PARTY_FLAGS = -isystem kernel/lib/compat $(KCPPFLAGS) $(KCFLAGS) -Os -falign-functions=1 \
	-fno-asynchronous-unwind-tables -fno-unwind-tables -w

$(B)/third_party/zlib/%.o: $(ZLIB_DIR)/%.c $(UAPI)/.stamp
	@mkdir -p $(@D)
	@echo "  CC  zlib/$*.c"
	@$(CC) $(THIRD_PARTY_FLAGS) $(ZLIB_FLAGS) -c $< -o $@
$(B)/third_party/zstd/%.o: $(ZSTD_DIR)/lib/%.c $(UAPI)/.stamp
	@mkdir -p $(@D)
	@echo "  CC  zstd/$*.c"
	@$(CC) $(THIRD_PARTY_FLAGS) $(ZSTD_FLAGS) -c $< -o $@

KOBJ += $(ZLIB_OBJ) $(ZSTD_OBJ)
