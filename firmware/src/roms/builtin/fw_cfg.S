# The fw_cfg device: its file directory and DMA.

# Detects the device and copies its file directory.
read_directory:
        movl    $directory_name, item
        movl    $text_no_dma, %esi
        movw    $DMA_ADDRESS, %dx
        inl     %dx, %eax
        cmpl    $0x554d4551, %eax       # "QEMU"
        jne     fail
        movw    $DMA_ADDRESS + 4, %dx
        inl     %dx, %eax
        cmpl    $0x47464320, %eax       # " CFG"
        jne     fail
        movl    $KEY_DIRECTORY, %eax
        call    read_value
        bswap   %ecx                    # number of files
        cmpl    $(SCRATCH_END - SCRATCH) / FILE_ENTRY, %ecx
        ja      no_room
        shll    $6, %ecx
        movl    $SCRATCH, %edi
        leal    (%edi,%ecx), %eax
        movl    %eax, scratch
        movl    %eax, directory_end
        movl    $DMA_READ, %eax
        jmp     transfer

# Finds the file whose name %esi points to and returns its entry in %ebx; carry is set if there is
# none. Preserves %esi.
find:   movl    %esi, item
        movl    $SCRATCH, %ebx
1:      cmpl    %ebx, directory_end
        jbe     4f
        pushl   %esi
        leal    FILE_NAME(%ebx), %edi
2:      lodsb
        scasb
        jne     3f
        testb   %al, %al
        jnz     2b
3:      popl    %esi
        je      5f
        addl    $FILE_ENTRY, %ebx
        jmp     1b
4:      stc
5:      ret

# The same for a file that must exist.
need:   call    find
        jc      missing
        ret

# Returns the key of the file at %ebx in bits 16 to 31 of %eax.
file_key:
        movzwl  FILE_KEY(%ebx), %eax
        xchgb   %al, %ah
        shll    $16, %eax
        ret

# Returns the size of the file at %ebx in %ecx, in bytes.
file_size:
        movl    FILE_SIZE(%ebx), %ecx
        bswap   %ecx
        ret

# Copies the file at %ebx to scratch memory and returns its address in %edi.
load_scratch:
        call    file_size
        movl    scratch, %edi
        movl    %edi, %eax
        addl    %ecx, %eax
        jc      no_room
        cmpl    $SCRATCH_END, %eax
        ja      no_room
        movl    %eax, scratch

# Copies the file at %ebx to %edi.
load:   leal    FILE_NAME(%ebx), %eax
        movl    %eax, item
        call    file_size
        call    file_key
        orb     $DMA_SELECT | DMA_READ, %al
        jmp     transfer

# Returns the u32 item %eax in %ecx.
read_value:
        movl    $4, %ecx
        movl    $value, %edi
        call    read
        movl    value, %ecx
        ret

# Reads %ecx bytes of item %eax to %edi. Bytes beyond the item's end read as zeros, which is not an
# error.
read:   shll    $16, %eax
        orb     $DMA_SELECT | DMA_READ, %al

# Runs an operation: %eax = control, %ecx = bytes, %edi = address. Preserves all registers except
# %eax and %edx.
transfer:
        call    dma
        jz      1f
        movl    $text_dma_error, %esi
        jmp     fail
1:      ret

# The same, but clears ZF on an error.
dma:    bswap   %eax
        bswap   %ecx
        bswap   %edi
        movl    %eax, descriptor
        movl    %ecx, descriptor + 4
        movl    %edi, descriptor + 12
        bswap   %edi
        bswap   %ecx
        movl    $descriptor, %eax
        bswap   %eax
        movw    $DMA_ADDRESS + 4, %dx
        outl    %eax, %dx
1:      movl    descriptor, %eax        # Already done on QEMU and chukka.
        bswap   %eax
        testl   $~DMA_ERROR, %eax
        jz      2f
        pause
        jmp     1b
2:      testl   %eax, %eax
        ret
